package main

const tests = "src/workerd/api/tests/"

// example is the class and the binding that most scripts have.
var (
	keyed   = map[string]bool{"DurableObjectExample": false}
	sql     = map[string]bool{"DurableObjectExample": true}
	example = map[string]string{"ns": "DurableObjectExample"}
)

// workerd are its scripts for Durable Objects and queues, with what their
// .wd-test files say. Flags that are experimental are left out: tenants may not
// have them.
var workerd = []suite{
	script{file: tests + "actor-alarms-delete-test.js", classes: keyed, objects: example},
	script{file: tests + "actor-alarms-name-test.js", classes: map[string]bool{"AlarmNameObject": false}, objects: map[string]string{"NS": "AlarmNameObject"}},
	script{file: tests + "actor-alarms-test.js", classes: keyed, objects: example},
	script{file: tests + "actor-block-concurrency-depth-test.js", classes: map[string]bool{"DepthTester": false}, objects: map[string]string{"ns": "DepthTester"}},
	script{file: tests + "actor-kv-test.js", classes: map[string]bool{"ActorKvTest": false}, objects: map[string]string{"ns": "ActorKvTest"}},
	script{file: tests + "actor-stub-test.js", classes: keyed, objects: example},
	script{file: tests + "delete-all-deletes-alarm-test.js", classes: keyed, objects: example, vars: map[string]string{"EXPECT_ALARM_DELETED": "true"}, flags: []string{"delete_all_deletes_alarm"}},
	script{file: tests + "new-module-registry-do-test.js", classes: map[string]bool{"TestActor": false}, objects: map[string]string{"ns": "TestActor"}},
	script{file: tests + "sql-resizable-arraybuffer-test.js", classes: sql, objects: example},
	script{file: tests + "sql-restrict-names-test.js", classes: sql, objects: example},
	script{file: tests + "sql-test.js", classes: sql, objects: example, flags: []string{"streams_enable_constructors", "transformstream_enable_standard_constructor", "disable_fast_jsg_struct"}},
	script{file: tests + "stub-storage-test.js", classes: map[string]bool{"MyActor": true}},
	script{file: tests + "sync-kv-test.js", classes: map[string]bool{"MyActor": true}},
	script{file: tests + "websocket-hibernation.js", classes: keyed, objects: example},

	script{file: tests + "queue-do-uaf-test.js", classes: map[string]bool{"TestDO": false}, objects: map[string]string{"ns": "TestDO"}, flags: []string{"queue_consumer_no_wait_for_wait_until"}},
	script{file: tests + "queue-error-codes-test.js", queues: map[string]string{"QUEUE": "suite"}, vars: map[string]string{"ERROR_CODES_FLAG": "true"}},
	script{file: tests + "queue-metadata-test.js"},
	script{file: tests + "queue-metrics-sentinel-test.js", queues: map[string]string{"QUEUE": "suite"}},
	script{file: tests + "queue-metrics-test.js", queues: map[string]string{"QUEUE": "suite"}},
	script{file: tests + "queue-producer-metadata-test.js", queues: map[string]string{"QUEUE": "suite"}},
	script{file: tests + "queue-resizable-arraybuffer-test.js", queues: map[string]string{"QUEUE": "suite"}},
	script{file: tests + "queue-test.js", queues: map[string]string{"QUEUE": "suite"}},
}

package engine

import (
	"fmt"
	"slices"
)

// experimentalFlags are the compatibility flags that workerd accepts only with
// --experimental. Cells run with it, for our own Workers' sake; tenants do not
// get them, as on Cloudflare.
//
// Source: the fields marked $experimental in
// https://github.com/cloudflare/workerd/blob/main/src/workerd/io/compatibility-date.capnp
var experimentalFlags = []string{
	"allow_insecure_inefficient_logged_eval", "auto_grpc_convert", "cache_reload_enabled", "connect_pass_through",
	"d1_binding_jsrpc", "durable_object_get_existing", "durable_object_rename", "enable_abortsignal_rpc",
	"enable_ctx_version_metadata", "enable_d1_with_sessions_api", "enable_nodejs_inspector_local_dev",
	"enable_version_api", "enable_web_file_system", "experimental", "expose_draining_reader",
	"increase_websocket_message_size", "js_rpc", "kv_direct_binding", "memory_cache_delete", "precise_timers",
	"python_workers_20260817", "python_workers_development", "python_workers_durable_objects", "replica_routing",
	"rtti_api", "service_binding_extra_handlers", "spec_compliant_property_attributes", "streaming_tail_worker",
	"streams_no_default_auto_allocate_chunk_size", "tail_worker_user_spans", "typescript_implemented_streams",
	"typescript_strip_types", "unsafe_module", "unsupported_process_actual_platform", "wasm_memory_discard",
	"webgpu", "workflows_bindings_rpc", "workflows_step_rollback",
}

func checkFlags(flags []string) error {
	for _, f := range flags {
		if slices.Contains(experimentalFlags, f) {
			return fmt.Errorf("the compatibility flag %s is experimental and cannot be used yet", f)
		}
	}
	return nil
}

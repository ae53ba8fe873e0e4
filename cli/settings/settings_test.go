package settings

import (
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/mail"
)

func TestEveryKey(t *testing.T) {
	t.Setenv("SELVAGE_TEST_SECRET", "hidden")
	text, err := os.ReadFile(filepath.Join("testdata", "full.toml"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("full.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Origins["db.internal"].String(); got != "tcp://10.0.0.6:5432" {
		t.Errorf("origin: %s", got)
	}
	s.Origins = nil
	if r := s.Rules; len(r.Redirects) != 1 || len(r.Rewrites) != 1 || len(r.Firewall) != 2 || r.Bulk == nil || len(r.RequestHeaders) != 1 || len(r.ResponseHeaders) != 1 {
		t.Errorf("rules: %+v", r)
	}
	s.Rules = nil
	want := &Settings{
		Data: "/var/lib/selvage", WorkersDomain: "workers.example.com", Zones: []string{"example.com"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		DrainTimeout:   10 * time.Second, HTTP: []string{":80"}, HTTPS: []string{":443"},
		Certificates: []Certificate{{"a.pem", "a.key"}}, Admin: ":8081", AdminCert: Certificate{"b.pem", "b.key"},
		S3: ":9000", S3Cert: Certificate{"c.pem", "c.key"}, S3Hosts: []string{"s3.example.com"},
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		Relay:        &mail.Relay{Addr: "127.0.0.1:25", Security: mail.NoTLS, Domains: []string{"*"}, Timeout: 5 * time.Second},
		Upstreams: []config.Upstream{{Name: "photos", Resource: "kept", Endpoint: &url.URL{Scheme: "http", Host: "127.0.0.1:9000"},
			Region: "eu-central-1", KeyID: "AKIDEXAMPLE", Secret: "hidden", Timeout: 20 * time.Second}},
		Normalization: config.Normalization{Type: config.NormalizeRFC3986, Scope: config.NormalizeNothing},
		MaxConns:      5000, MaxConnsPerClient: 50, BodyTimeout: 10 * time.Second,
		MaxBody: 50e6, MaxMemory: 256 << 20, Quotas: map[string]int64{"d1_database": 1 << 30, "d1": 100 << 30, "kv": 50 << 30, "kv_namespace": 5 << 30, "r2": 60 << 30, "durable_object": 2 << 30, "worker_durable_objects": 8 << 30, "durable_object_history": 6 << 30, "queue": 3 << 30, "analytics_engine": 4 << 30, "workflows": 6 << 30, "code": 20 << 30, "worker_code": 3 << 30},
		MaxCells: 3, CellsMemory: 4 << 30, CallMemory: 100 << 20, UploadMemory: 200 << 20, MaxWall: time.Minute, MaxCPU: 10 * time.Second,
		LogLevel: slog.LevelWarn, LogJSON: true, LogRequests: true,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestDefaults(t *testing.T) {
	s, err := (&File{}).Settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.Data != ".selvage" || s.WorkersDomain != "localhost" || s.HTTP[0] != ":8080" || s.Admin != "127.0.0.1:8081" ||
		s.MaxBody != 100<<20 || s.MaxWall != 0 || s.MaxCPU != 30*time.Second || s.MaxMemory != 512<<20 || s.MaxCells != 0 || s.MaxConns != 16384 || s.MaxConnsPerClient != 1024 || s.BodyTimeout != time.Minute || !s.Compression || !s.LogWorkers {
		t.Errorf("%+v", s)
	}
	f, err := Parse("empty.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if empty, err := f.Settings(); err != nil || !reflect.DeepEqual(s, empty) {
		t.Errorf("an empty file differs from none: %+v, %v", empty, err)
	}
}

// What is wrong is named with file, line and key.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "data = 'x'\nworker_domain = 'y'\n", `s.toml:2: worker_domain: there is no such key; did you mean "workers_domain"?`},
		{"unknown key in a table", "[limits]\ncpus = '3s'\n", `s.toml:2: limits.cpus: there is no such key; did you mean "cpu"?`},
		{"unknown table", "[listeners]\nhttp = 'x'\n", "s.toml:1: listeners: there is no such key"},
		{"not a list", "\nzones = 3\n", "s.toml:2: zones: the value must be a list of strings in quotes; this is a TOML integer"},
		{"not a string", "[limits]\ncpu = 3", "s.toml:2: limits.cpu: the value must be a string in quotes; this is a TOML integer"},
		{"not a bool", "[log]\nworkers = 'yes'", "s.toml:2: log.workers: the value must be true or false; this is a TOML string"},
		{"not strings", "zones = [3]", "s.toml:1: zones: the value must be"},
		{"not a table", "limits = 3", "s.toml:1: limits: the value must be a table"},
		{"not TOML", "data = \n", "s.toml:1: "},
		{"size", "[limits]\n\nbody = '100 cookies'\n", `s.toml:3: limits.body: "100 cookies" is not a size such as "100MB" or "512MiB"`},
		{"small memory", "limits.memory = '1MB'", `s.toml:1: limits.memory: "1MB" is too small; the least is 134217728 bytes`},
		{"duration", "drain_timeout = '3'", `s.toml:1: drain_timeout: "3" is not a duration`},
		{"normalization type", "[url_normalization]\ntype = 'rfc'", `s.toml:2: url_normalization.type: type "rfc": use "cloudflare" or "rfc3986"`},
		{"normalization scope", "[url_normalization]\nscope = 'all'", `s.toml:2: url_normalization.scope: scope "all": use "incoming", "both" or "none"`},
		{"no cells", "[limits]\ncells = 0", "s.toml:2: limits.cells: 0 is not a number from 1 to 1000000"},
		{"no connections", "[limits]\nconnections = 0", "s.toml:2: limits.connections: 0 is not a number from 1 to 1000000"},
		{"not a number", "[limits]\nconnections_per_client = 'ten'", "s.toml:2: limits.connections_per_client: the value must be a whole number"},
		{"no body timeout", "[limits]\nbody_timeout = '0s'", "s.toml:2: limits.body_timeout: it must not be zero"},
		{"address", "[http]\nlisten = ['8080']", `s.toml:2: http.listen: "8080" is not an address such as ":8080"`},
		{"network", "trusted_proxies = ['10.0.0.0/40']", `s.toml:1: trusted_proxies: "10.0.0.0/40" is neither an address nor a network`},
		{"origin", "[origins]\n'db.internal' = 'db:5432'", `s.toml:2: origins.db.internal: "db:5432" is not an origin`},
		{"host of an origin", "[origins]\n'a/b' = 'http://x'", `s.toml:2: origins.a/b: "a/b" is not a host`},
		{"zone", "zones = ['exa mple.com']", `s.toml:1: zones: "exa mple.com" is not a hostname`},
		{"HTTPS without certificate", "https.listen = [':443']", "s.toml:1: https.listen: HTTPS needs a certificate"},
		{"half a certificate", "admin.cert = 'a.pem'", "s.toml:1: admin.cert: HTTPS needs both"},
		{"half a certificate of S3", "s3.cert = 'a.pem'\ns3.listen = ':9000'", "s.toml:1: s3.cert: HTTPS needs both"},
		{"certificate of S3 without a port", "s3.cert = 'a.pem'\ns3.key = 'a.key'", "s.toml:1: s3.cert: it is for s3.listen, which is not set"},
		{"address of S3", "[s3]\nlisten = 'localhost'", `s.toml:2: s3.listen: "localhost" is not an address such as ":8080"`},
		{"host of S3", "[s3]\nhosts = ['s3.example.com:9000']", `s.toml:2: s3.hosts: "s3.example.com:9000" is not a hostname`},
		{"tokens in clear", "[admin]\nlisten = ':8081'", "s.toml:2: admin.listen: :8081 is reachable from other machines"},
		{"relay without a port", "[email]\nrelay = 'smtp.example.com'\ndomains = ['*']", `s.toml:2: email.relay: "smtp.example.com" is not a host and port`},
		{"mail without a relay", "[email]\ndomains = ['example.com']", "s.toml:1: email: relay is missing"},
		{"mail of no domain", "[email]\nrelay = 'a:587'", "s.toml:1: email: domains is missing"},
		{"mail of what is no domain", "[email]\nrelay = 'a:587'\ndomains = ['a@b']", `s.toml:3: email.domains: "a@b" is not a hostname`},
		{"encryption of mail", "[email]\nrelay = 'a:587'\ndomains = ['*']\ntls = 'yes'", `s.toml:4: email.tls: "yes" is not one of starttls, tls, none`},
		{"half a login", "[email]\nrelay = 'a:587'\ndomains = ['*']\nusername = 'me'", "s.toml:4: email.username: a login needs both"},
		{"a password in clear", "[email]\nrelay = 'a:25'\ndomains = ['*']\ntls = 'none'\nusername = 'me'\npassword_file = '/dev/null'", "s.toml:4: email.tls: the password would cross the network in clear"},
		{"no password", "[email]\nrelay = 'a:587'\ndomains = ['*']\nusername = 'me'\npassword_file = '/dev/null'", "s.toml:5: email.password_file: /dev/null is empty"},
		{"mail without an end", "[email]\nrelay = 'a:587'\ndomains = ['*']\ntimeout = '0s'", "s.toml:4: email.timeout: it must not be zero"},
		{"unknown key of an upstream", "[r2.upstreams.a]\nendpoints = 'x'", `s.toml:2: r2.upstreams.a.endpoints: there is no such key; did you mean "endpoint"?`},
		{"upstream without a server", "[r2.upstreams.a]\nbucket = 'x'", "s.toml:1: r2.upstreams.a: endpoint is missing"},
		{"no server", "[r2.upstreams.a]\nendpoint = 's3.example.com'\naccess_key_id = 'x'\nsecret_env = 'PATH'", `s.toml:2: r2.upstreams.a.endpoint: "s3.example.com" is not the address of a server`},
		{"server with a path", "[r2.upstreams.a]\nendpoint = 'https://s3.example.com/a'\naccess_key_id = 'x'\nsecret_env = 'PATH'", `s.toml:2: r2.upstreams.a.endpoint: "https://s3.example.com/a" is not the address of a server`},
		{"upstream without a secret", "[r2.upstreams.a]\nendpoint = 'https://x'\naccess_key_id = 'x'", "s.toml:1: r2.upstreams.a: it needs access_key_id, and one of secret_file and secret_env"},
		{"upstream with an empty secret", "[r2.upstreams.a]\nendpoint = 'https://x'\naccess_key_id = 'x'\nsecret_file = '/dev/null'", "s.toml:4: r2.upstreams.a.secret_file: /dev/null is empty"},
		{"upstream with a secret that is not there", "[r2.upstreams.a]\nendpoint = 'https://x'\naccess_key_id = 'x'\nsecret_env = 'SELVAGE_NONE'", "s.toml:4: r2.upstreams.a.secret_env: the environment has no SELVAGE_NONE"},
		{"upstream without an end", "[r2.upstreams.a]\nendpoint = 'https://x'\naccess_key_id = 'x'\nsecret_env = 'PATH'\ntimeout = '0s'", "s.toml:5: r2.upstreams.a.timeout: it must not be zero"},
		{"level", "log.level = 'loud'", `s.toml:1: log.level: "loud" is not one of debug, info, warn, error`},
		{"expression", "[[rules.firewall]]\nexpression = 'true'\naction = 'log'\n\n[[rules.firewall]]\naction = 'block'\nexpression = 'ssl and http.hots eq \"a\"'\n",
			"s.toml:7: rules.firewall[2].expression: 1:9: there is no field \"http.hots\"; did you mean http.host?\n    ssl and http.hots eq \"a\"\n            ^^^^^^^^^"},
		{"action", "[[rules.firewall]]\nexpression = 'true'\naction = 'deny'", `s.toml:3: rules.firewall[1].action: "deny" is not one of block, skip, log`},
		{"no action", "\n[[rules.firewall]]\nexpression = 'true'", `s.toml:2: rules.firewall[1]: action is missing`},
		{"response", "[[rules.firewall]]\nexpression = 'true'\naction = 'block'\n[rules.firewall.response]\nstatus = 200", `s.toml:4: rules.firewall[1].response: status: 200 is not from 400 to 499`},
		{"unknown key of a rule", "[[rules.firewall]]\nexpresion = 'true'", `s.toml:2: rules.firewall.expresion: there is no such key; did you mean "expression"?`},
		{"unknown phase", "[[rules.firewalls]]\nexpression = 'true'", `s.toml:1: rules.firewalls: there is no such key; did you mean "firewall"?`},
		{"not rules", "[rules]\nfirewall = 'block'", `s.toml:2: rules.firewall: the value must be`},
		{"inline rule", "[rules]\nredirects = [{ expression = 'true', to = 'x' }]", `s.toml:2: rules.redirects[1].to: "x" is neither an address`},
		{"list of a rule", "[[rules.firewall]]\naction = 'log'\nexpression = 'ip.src in $office'", `s.toml:3: rules.firewall[1].expression: 1:11: there is no list "office"`},
		{"list", "[lists.office]\nitems = ['1.2.3.4/24']", `s.toml:2: lists.office.items: the network 1.2.3.4/24 has bits after its 24 first: write 1.2.3.0/24`},
		{"name of a list", "[lists.Office]", `s.toml:1: lists.Office: a list's name has`},
		{"kind of a list", "[lists.a]\nkind = 'asn'", `s.toml:2: lists.a.kind: "asn" is not one of ip, hostname`},
		{"key of a list", "[lists.a]\nitem = []", `s.toml:2: lists.a.item: there is no such key; did you mean "items"?`},
		{"file of a list", "[lists.a]\nfile = 'testdata/none'", `s.toml:2: lists.a.file: open testdata/none: no such file`},
		{"content of a list's file", "[lists.a]\nfile = 'testdata/broken.list'", `s.toml:2: lists.a.file: testdata/broken.list:3: "198.51.100" is neither`},
		{"a list that is wrong is enough", "[lists.a]\nitems = ['x']\n[[rules.firewall]]\naction = 'log'\nexpression = 'ip.src in $a'", `s.toml:2: lists.a.items: "x" is neither`},
		{"file of redirects", "[rules]\nbulk_redirects_file = 'testdata/broken.csv'", `s.toml:2: rules.bulk_redirects_file: testdata/broken.csv: line 2: "never" is not a status`},
		{"two at once", "log.level = 'loud'\nlog.format = 'xml'", "s.toml:1: log.level: \"loud\" is not one of debug, info, warn, error\ns.toml:2: log.format: \"xml\" is not one of text, json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse("s.toml", []byte(c.text))
			if err == nil {
				_, err = f.Settings()
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestRelay(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Parse("s.toml", []byte("[email]\nrelay = 'smtp.example.com:465'\ntls = 'tls'\nusername = 'me'\npassword_file = '"+password+"'\ndomains = ['Example.com']"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Settings()
	if err != nil {
		t.Fatal(err)
	}
	want := &mail.Relay{Addr: "smtp.example.com:465", Security: mail.TLS, Username: "me", Password: "secret", Domains: []string{"example.com"}, Timeout: 30 * time.Second}
	if !reflect.DeepEqual(s.Relay, want) {
		t.Errorf("%+v", s.Relay)
	}
	f.Email.Timeout = "1m"
	if next, err := f.Settings(); err != nil || !slices.Equal(s.Fixed(next), []string{"email"}) {
		t.Errorf("%v", err)
	}
}

// A value from a flag is blamed on the flag.
func TestOverride(t *testing.T) {
	f, err := Parse("s.toml", []byte("admin.listen = '127.0.0.1:1'"))
	if err != nil {
		t.Fatal(err)
	}
	f.Admin.Listen = "0.0.0.0:8081"
	f.Override("admin.listen", "--admin")
	if _, err := f.Settings(); err == nil || !strings.HasPrefix(err.Error(), "--admin: 0.0.0.0:8081 is reachable") {
		t.Error(err)
	}
	f.Admin.Insecure = true
	if _, err := f.Settings(); err != nil {
		t.Error(err)
	}
}

func TestRelative(t *testing.T) {
	f, err := Parse("/etc/selvage/selvage.toml", []byte("data = 'data'\nadmin.cert = 'a.pem'\nadmin.key = '/k.pem'"))
	if err != nil {
		t.Fatal(err)
	}
	f.Relative()
	if f.Data != "/etc/selvage/data" || f.Admin.Cert != "/etc/selvage/a.pem" || f.Admin.Key != "/k.pem" {
		t.Errorf("%+v", f)
	}
}

// The rules in the documents can be used as they are.
func TestDocumentedRules(t *testing.T) {
	read := func(parts ...string) string {
		data, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	_, page, _ := strings.Cut(read("docs", "rules.md"), "```toml\n")
	page, _, _ = strings.Cut(page, "```")
	_, file, _ := strings.Cut(read("deploy", "selvage.toml"), "# Rules decide")
	_, file, _ = strings.Cut(file, "\n")
	for name, text := range map[string]string{"rules.md": page, "selvage.toml": strings.ReplaceAll(file, "\n# ", "\n")} {
		dir := t.TempDir()
		for other, content := range map[string]string{"office.txt": "203.0.113.0/24\n", "moved.csv": "example.org/a,https://example.org/b\n"} {
			if err := os.WriteFile(filepath.Join(dir, other), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Parse(filepath.Join(dir, name), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		f.Relative()
		s, err := f.Settings()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if r := s.Rules; len(r.Redirects)*len(r.Rewrites)*len(r.Firewall)*len(r.RequestHeaders)*len(r.ResponseHeaders) == 0 || r.Bulk == nil {
			t.Errorf("%s: a phase has no rule", name)
		}
	}
}

func TestFixed(t *testing.T) {
	a, _ := (&File{}).Settings()
	b, _ := (&File{Data: "elsewhere", Zones: []string{"example.com"}, Limits: Limits{Body: "1MB", Memory: "1GiB"}}).Settings()
	if got := a.Fixed(b); !reflect.DeepEqual(got, []string{"data", "limits.memory"}) {
		t.Errorf("got %v", got)
	}
	if got := a.Fixed(a); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// Every key of the structs is known to the hints, and the other way round.
func TestKnownKeys(t *testing.T) {
	found := map[string][]string{}
	var walk func(table string, x reflect.Type)
	walk = func(table string, x reflect.Type) {
		for i := range x.NumField() {
			field := x.Field(i)
			if !field.IsExported() {
				continue
			}
			if field.Anonymous {
				walk(table, field.Type)
				continue
			}
			name := field.Tag.Get("toml")
			found[table] = append(found[table], name)
			y := field.Type
			if y.Kind() == reflect.Slice || y.Kind() == reflect.Pointer {
				y = y.Elem()
			}
			below := strings.TrimPrefix(table+"."+name, ".")
			if y.Kind() == reflect.Map {
				y, below = y.Elem(), below+".*"
			}
			if y.Kind() == reflect.Struct {
				walk(below, y)
			}
		}
	}
	walk("", reflect.TypeFor[File]())
	if !reflect.DeepEqual(found, known) {
		t.Errorf("structs %v\nhints   %v", found, known)
	}
}

// Whatever the text, there is an answer, and settings that are accepted hold
// to their bounds.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile(filepath.Join("testdata", "full.toml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(full), "", "a = 1", "[limits]\nbody = '1e99GiB'", "[[https.certificates]]\ncert = 'x'", "origins = { 'a' = 'http://b' }", "\"\" = 1", "[a]\n[a.b]\nc=[{d=1}]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("s.toml", text)
		if err != nil {
			return
		}
		s, err := file.Settings()
		if err != nil {
			return
		}
		if s.MaxBody <= 0 || s.MaxMemory < 128<<20 || s.MaxWall < 0 || len(s.HTTP)+len(s.HTTPS) == 0 {
			t.Errorf("%+v", s)
		}
	})
}

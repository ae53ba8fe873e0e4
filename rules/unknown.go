package rules

import "strings"

// unknown are the fields that this server cannot know. An expression that asks
// for one is refused: a rule that silently never matches protects nobody.
func unknown() []Field {
	const (
		geo     = "it needs a database of where addresses are, which this server does not have"
		bots    = "it is made by Cloudflare's bot detection"
		waf     = "it is made by a detection of Cloudflare's that does not exist here"
		shield  = "it is made by Cloudflare's API Shield"
		hello   = "this server does not keep what the TLS client said"
		timings = "this server does not measure it for rules"
		layer4  = "it belongs to packets, not to requests"
		zones   = "it belongs to Cloudflare's zones and accounts"
	)
	var list []Field
	for _, g := range []struct {
		why   string
		typ   Type
		names string
	}{
		{geo, text1, `ip.src.lat ip.src.lon ip.src.city ip.src.postal_code ip.src.metro_code ip.src.region ip.src.region_code ip.src.timezone.name
			ip.src.continent ip.src.country ip.src.subdivision_1_iso_code ip.src.subdivision_2_iso_code ip.geoip.continent ip.geoip.country
			ip.geoip.subdivision_1_iso_code ip.geoip.subdivision_2_iso_code`},
		{geo, integer, "ip.src.asnum ip.geoip.asnum"},
		{geo, boolean, "ip.src.is_in_european_union ip.geoip.is_in_european_union"},
		{bots, boolean, `cf.client.bot cf.bot_management.verified_bot cf.bot_management.static_resource cf.bot_management.js_detection.passed
			cf.bot_management.corporate_proxy cf.bot_management.signed_agent`},
		{bots, integer, "cf.bot_management.score"},
		{bots, text1, "cf.bot_management.ja3_hash cf.bot_management.ja4 cf.verified_bot_category"},
		{bots, Type{Kind: Int, Arrays: 1}, "cf.bot_management.detection_ids"},
		{shield, boolean, `cf.api_gateway.auth_id_present cf.api_gateway.request_violates_schema cf.api_gateway.fallthrough_detected
			cf.schema_validation.learned.violated cf.schema_validation.uploaded.violated`},
		{shield, textMap, "http.request.jwt.claims.aud http.request.jwt.claims.iss http.request.jwt.claims.jti http.request.jwt.claims.sub"},
		{shield, texts, `http.request.jwt.claims.aud.names http.request.jwt.claims.aud.values http.request.jwt.claims.iss.names http.request.jwt.claims.iss.values
			http.request.jwt.claims.jti.names http.request.jwt.claims.jti.values http.request.jwt.claims.sub.names http.request.jwt.claims.sub.values
			http.request.jwt.claims.iat.sec.names http.request.jwt.claims.nbf.sec.names`},
		{shield, Type{Kind: Int, Arrays: 1, Map: true}, "http.request.jwt.claims.iat.sec http.request.jwt.claims.nbf.sec"},
		{shield, Type{Kind: Int, Arrays: 1}, "http.request.jwt.claims.iat.sec.values http.request.jwt.claims.nbf.sec.values"},
		{hello, text1, "cf.tls_client_extensions_sha1 cf.tls_client_extensions_sha1_le cf.tls_ciphers_sha1 cf.tls_client_random"},
		{hello, integer, "cf.tls_client_hello_length"},
		{timings, integer, `cf.edge.l4.delivery_rate cf.timings.client_tcp_rtt_msec cf.timings.client_quic_rtt_msec cf.timings.edge_msec
			cf.timings.origin_ttfb_msec cf.timings.worker_msec`},
		{waf, boolean, `cf.waf.content_scan.has_obj cf.waf.content_scan.has_malicious_obj cf.waf.content_scan.has_failed cf.waf.auth_detected
			cf.waf.credential_check.password_leaked cf.waf.credential_check.username_leaked cf.waf.credential_check.username_and_password_leaked
			cf.waf.credential_check.username_password_similar cf.llm.prompt.detected cf.llm.prompt.pii_detected cf.llm.prompt.unsafe_topic_detected`},
		{waf, integer, `cf.waf.content_scan.num_malicious_obj cf.waf.content_scan.num_obj cf.waf.score cf.waf.score.sqli cf.waf.score.xss cf.waf.score.rce
			cf.llm.prompt.injection_score cf.llm.prompt.token_count`},
		{waf, Type{Kind: Int, Arrays: 1}, "cf.waf.content_scan.obj_sizes"},
		{waf, texts, "cf.waf.content_scan.obj_types cf.waf.content_scan.obj_results cf.llm.prompt.pii_categories cf.llm.prompt.unsafe_topic_categories"},
		{waf, text1, "cf.waf.score.class"},
		{waf, Type{Kind: Int, Map: true}, "cf.llm.prompt.custom_topic_categories"},
		{zones, text1, "cf.hostname.metadata cf.zone.name cf.zone.plan cf.metal.id"},
		{layer4, integer, "tcp.srcport tcp.dstport tcp.flags udp.srcport udp.dstport"},
		{layer4, addressT, "ip.dst"},
	} {
		for name := range strings.FieldsSeq(g.names) {
			list = append(list, Field{Name: name, Type: g.typ, Unknown: g.why})
		}
	}
	return list
}

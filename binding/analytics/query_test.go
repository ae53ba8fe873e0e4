package analytics

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// noon is the clock of these tests.
var noon = time.Date(2026, 11, 25, 12, 30, 45, 0, time.UTC)

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	s, err := OpenStore(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t testing.TB, s *Store, dataset string, points ...Point) {
	t.Helper()
	for _, p := range points {
		if err := s.Write(dataset, p); err != nil {
			t.Fatal(err)
		}
	}
}

// ask runs a query and returns the rows, separated by tabs and lines.
func ask(t testing.TB, s *Store, query string) string {
	t.Helper()
	a, err := s.Query(t.Context(), query+" FORMAT TabSeparated")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(string(a.Body), "\n")
}

// TestExpressions has those that Cloudflare documents, with the results that its
// pages give.
func TestExpressions(t *testing.T) {
	s := open(t, Options{})
	for _, c := range []struct{ expression, want string }{
		// Literals and operators.
		{"42", "42"}, {"-42", "-42"}, {"4.2", "4.2"}, {"'it''s'", "it's"}, {`'a\'b'`, "a'b"}, {"true", "true"},
		{"1 + 2 * 3", "7"}, {"(1 + 2) * 3", "9"}, {"7 / 2", "3.5"}, {"7 % 4", "3"}, {"7.5 % 2", "1.5"}, {"- - 2", "2"}, {"2 - -2", "4"},
		{"1 / 0", "nan"}, {"1 = 1", "1"}, {"1 <> 1", "0"}, {"2 > 1 AND 1 > 2", "0"}, {"2 > 1 OR 1 > 2", "1"}, {"NOT 1 = 2", "1"}, {"NOT NOT 1", "1"},
		{"'b' IN ('a', 'b')", "1"}, {"3 NOT IN (1, 2)", "1"}, {"2 BETWEEN 1 AND 2", "1"}, {"2 NOT BETWEEN 1 AND 2 OR 1 = 2", "0"},
		{"'error: x' LIKE 'error%'", "1"}, {"'Error' LIKE 'error%'", "0"}, {"'Error' ILIKE 'error%'", "1"}, {"'log12' LIKE 'log__'", "1"},
		{"'a.JPG' ILIKE '%.jpg'", "1"}, {"'abc' NOT LIKE '%b%'", "0"}, {"'ü' LIKE '_'", "1"}, {`'50%' LIKE '50\%'`, "1"}, {`'500' LIKE '50\%'`, "0"},
		{"'aXbXc' LIKE 'a%b%c'", "1"}, {"'' LIKE '%'", "1"}, {"'a' LIKE ''", "0"},
		// Conditions and conversion.
		{"if(3 <= 0, 'FREEZING', 'NOT FREEZING')", "NOT FREEZING"}, {"if(1, 2, 3.5)", "2"},
		{"toUInt32('17')", "17"}, {"toUInt8(300)", "44"}, {"toUInt32(3.9)", "3"}, {"toUInt32(toDateTime('1970-01-01 00:01:00'))", "60"},
		// Mathematics.
		{"intDiv(7, 2)", "3"}, {"log(1)", "0"}, {"ln(1)", "0"}, {"pow(3, 2)", "9"}, {"round(5.5)", "6"}, {"round(2.5)", "2"}, {"round(3.14, 1)", "3.1"},
		{"floor(5.5)", "5"}, {"floor(3.14, 1)", "3.1"}, {"ceil(5.5)", "6"}, {"ceil(3.14, 1)", "3.2"}, {"round(17, -1)", "20"}, {"log(-1)", "nan"},
		// Strings.
		{"length('straße')", "6"}, {"empty('')", "1"}, {"empty('a string')", "0"}, {"lower('STRING TO DOWNCASE')", "string to downcase"}, {"upper('ä')", "ä"},
		{"lowerUTF8('Ä')", "ä"}, {"toLower('Ä')", "ä"}, {"upperUTF8('ä')", "Ä"}, {"toUpper('ä')", "Ä"}, {"startsWith('prefix ...', 'prefix')", "1"},
		{"endsWith('prefix suffix', 'suffix')", "1"}, {"position(':' IN 'hello: world')", "6"}, {"position('x' IN 'hello')", "0"},
		{"substring('hello world', 6)", " world"}, {"substring('hello: world', 1, position(':' IN 'hello: world')-1)", "hello"}, {"substring('größe', 3, 2)", "öß"},
		{"format('{}: {} at {}', 'x', 1.5, toDateTime('2022-12-01 16:17:00'))", "x: 1.5 at 2022-12-01 16:17:00"},
		{"bin(1)", "00000001"}, {"bin('abc')", "011000010110001001100011"}, {"hex(1)", "01"}, {"hex('abc')", "616263"}, {"hex(255)", "FF"},
		// Bits.
		{"bitAnd(1, 3)", "1"}, {"bitCount(7)", "3"}, {"bitHammingDistance(3, 0)", "2"}, {"bitHammingDistance(1, 1)", "0"}, {"bitNot(1)", "254"}, {"bitOr(1, 2)", "3"},
		{"bitRotateLeft(1, 1)", "2"}, {"bitRotateLeft(128, 1)", "1"}, {"bitRotateRight(1, 1)", "128"}, {"bitRotateRight(12, 2)", "3"}, {"bitShiftLeft(1, 1)", "2"},
		{"bitShiftLeft(128, 1)", "0"}, {"bitShiftRight(12, 2)", "3"}, {"bitTest(3, 1)", "1"}, {"bitTest(2, 0)", "0"}, {"bitXor(1, 2)", "3"}, {"bitXor(3, 3)", "0"},
		// Times.
		{"now()", "2026-11-25 12:30:45"}, {"NOW() - INTERVAL '1' DAY", "2026-11-24 12:30:45"}, {"INTERVAL '2' HOUR + now()", "2026-11-25 14:30:45"},
		{"today()", "2026-11-25"}, {"toDateTime(355924804)", "1981-04-12 12:00:04"}, {"toDateTime('355924804')", "1981-04-12 12:00:04"},
		{"toDateTime('1981-04-12 12:00:04')", "1981-04-12 12:00:04"}, {"toUnixTimestamp(toDateTime('1981-04-12 12:00:04'))", "355924804"},
		{"toDateTime('2022-12-01 16:17:00', 'America/New_York')", "2022-12-01 16:17:00"},
		{"toUnixTimestamp(toDateTime('2022-12-01 16:17:00', 'America/New_York'))", "1669929420"},
		{"formatDateTime(now(), '%Y-%m-%d')", "2026-11-25"}, {"formatDateTime(toDateTime('2022-12-01 22:17:00', 'America/New_York'), '%F %T', 'Etc/UTC')", "2022-12-02 03:17:00"},
		{"formatDateTime(toDateTime('2022-12-01 22:07:09', 'America/New_York'), '%d.%m.%y %H:%i:%S %j %u %V %%')", "01.12.22 22:07:09 335 4 48 %"},
		{"toYear(toDateTime('2025-10-27 00:00:00'))", "2025"}, {"toMonth(toDateTime('2025-10-27 00:00:00'))", "10"}, {"toDayOfMonth(toDateTime('2025-10-27 00:00:00'))", "27"},
		{"toDayOfWeek(toDateTime('2025-10-27 00:00:00'))", "1"}, {"toDayOfWeek(toDateTime('2025-11-02 00:00:00'))", "7"}, {"toYYYYMM(toDateTime('2025-10-27 16:55:25'))", "202510"},
		{"toHour(toDateTime('2025-10-27 09:11:13'))", "9"}, {"toMinute(toDateTime('2025-10-27 09:11:13'))", "11"}, {"toSecond(toDateTime('2025-10-27 09:11:13'))", "13"},
		{"extract(SECOND from toDateTime('2022-06-06 11:30:15'))", "15"}, {"EXTRACT(YEAR FROM now())", "2026"},
		{"toStartOfInterval(now(), INTERVAL '15' MINUTE)", "2026-11-25 12:30:00"}, {"toStartOfInterval(now(), INTERVAL '1' DAY)", "2026-11-25 00:00:00"},
		{"toStartOfInterval(now(), INTERVAL '1' DAY, 'America/New_York')", "2026-11-25 00:00:00"}, {"toStartOfInterval(now(), INTERVAL '3' MONTH)", "2026-10-01 00:00:00"},
		{"toStartOfYear(toDateTime('2025-10-27 00:00:00'))", "2025-01-01"}, {"toStartOfMonth(toDateTime('2025-10-27 00:00:00'))", "2025-10-01"},
		{"toStartOfWeek(toDateTime('2025-10-29 00:00:00'))", "2025-10-27"}, {"toStartOfWeek(toDateTime('2025-10-27 00:00:00'))", "2025-10-27"},
		{"toStartOfDay(toDateTime('2025-10-27 16:55:25'))", "2025-10-27 00:00:00"}, {"toStartOfHour(toDateTime('2025-10-27 16:55:25'))", "2025-10-27 16:00:00"},
		{"toStartOfFifteenMinutes(toDateTime('2025-10-27 16:55:25'))", "2025-10-27 16:45:00"}, {"toStartOfTenMinutes(toDateTime('2025-10-27 16:55:25'))", "2025-10-27 16:50:00"},
		{"toStartOfFiveMinutes(toDateTime('2025-10-27 16:55:25'))", "2025-10-27 16:55:00"}, {"toStartOfMinute(toDateTime('2025-10-27 16:55:25'))", "2025-10-27 16:55:00"},
		{"toDateTime('2024-01-31 00:00:00') + INTERVAL '1' MONTH", "2024-02-29 00:00:00"}, {"toDateTime('2024-02-29 00:00:00') - INTERVAL '1' YEAR", "2023-02-28 00:00:00"},
		{"toDateTime('2026-03-28 12:00:00', 'Europe/Berlin') + INTERVAL '1' DAY", "2026-03-29 12:00:00"}, {"now() - toDateTime('2026-11-25 12:00:00')", "1845"},
		{"now() > '2026-11-25 12:00:00'", "1"}, {"now() BETWEEN '2026-11-25' AND '2026-11-26'", "1"}, {"'2026-11-26' < now()", "0"},
	} {
		if got := ask(t, s, "SELECT "+c.expression+" AS x"); got != c.want {
			t.Errorf("%s: %s, want %s", c.expression, got, c.want)
		}
	}
}

// weather writes what the queries of the next tests are about.
func weather(t testing.TB) *Store {
	s := open(t, Options{})
	for i, p := range []Point{
		{Index: "a", Blobs: []string{"Seattle", "USA"}, Doubles: []float64{25, 0.5}},
		{Index: "a", Blobs: []string{"Seattle", "USA"}, Doubles: []float64{15, 0.25}},
		{Index: "b", Blobs: []string{"Oslo", "Norway"}, Doubles: []float64{-5}},
		{Index: "b", Blobs: []string{"Oslo", "Norway"}, Doubles: []float64{5}},
		{Index: "b", Blobs: []string{"Oslo", "Norway"}, Doubles: []float64{5}},
		{Blobs: []string{"", "", "\tx\ny"}},
	} {
		p.Time = noon.Add(time.Duration(i-10) * time.Minute)
		write(t, s, "weather", p)
	}
	write(t, s, "other-set", Point{Doubles: []float64{math.NaN(), math.Inf(1)}})
	return s
}

func TestSelections(t *testing.T) {
	s := weather(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT count() FROM weather", "6"},
		{"SELECT COUNT(*), SUM(_sample_interval) FROM weather", "6\t6"},
		{"SELECT blob1 AS city, avg(double1) AS t FROM weather WHERE blob1 != '' GROUP BY city ORDER BY t DESC", "Seattle\t20\nOslo\t1.6666666666666667"},
		{"SELECT blob1 city, count() n FROM weather GROUP BY city HAVING n > 1 ORDER BY n", "Seattle\t2\nOslo\t3"},
		{"SELECT blob1, count() FROM weather GROUP BY 1 ORDER BY 2 DESC LIMIT 1", "Oslo\t3"},
		{"SELECT blob1, double1 FROM weather ORDER BY double1 DESC, blob1 LIMIT 2 OFFSET 1", "Seattle\t15\nOslo\t5"},
		{"SELECT double1 FROM weather ORDER BY double1 LIMIT ALL OFFSET 4", "15\n25"},
		{"SELECT count(DISTINCT double1), sum(DISTINCT double1), avg(DISTINCT double1) FROM weather WHERE index1 = 'b'", "2\t0\t0"},
		{"SELECT min(double1), max(double1), min(blob2), max(timestamp) FROM weather WHERE index1 IN ('a', 'b')", "-5\t25\tNorway\t2026-11-25 12:24:45"},
		{"SELECT countIf(double1 > 0), sumIf(double1, double1 > 0), avgIf(double1, index1 = 'a') FROM weather", "4\t50\t20"},
		{"SELECT argMax(blob1, double1), argMin(blob1, double1) FROM weather", "Seattle\tOslo"},
		{"SELECT first_value(double1), last_value(blob1) FROM weather WHERE blob1 <> ''", "25\tOslo"},
		{"SELECT topK(2)(blob1), topK(double1), topKWeighted(1)(blob1, double1) FROM weather WHERE blob1 <> ''", `["Oslo","Seattle"]` + "\t[5,25,15,-5]\t" + `["Seattle"]`},
		{"SELECT quantileExactWeighted(0.5)(double1, _sample_interval), quantileWeighted(0.95, double1, _sample_interval) FROM weather WHERE index1 <> ''", "5\t25"},
		{"SELECT QUANTILEEXACTWEIGHTED(0.5)(double1, double2 * 4) FROM weather WHERE index1 = 'a'", "25"},
		{"SELECT toStartOfInterval(timestamp, INTERVAL '5' MINUTE) AS x, count() FROM weather GROUP BY x ORDER BY x ASC", "2026-11-25 12:20:00\t5\n2026-11-25 12:25:00\t1"},
		{"SELECT intDiv(toUInt32(timestamp), 300) * 300 AS t, sum(_sample_interval * double1) / sum(_sample_interval) FROM weather WHERE timestamp > NOW() - INTERVAL '9' MINUTE GROUP BY t", "1795609200\t1.6666666666666667\n1795609500\t0"},
		{"SELECT dataset, blob1 FROM weather WHERE timestamp >= '2026-11-25 12:25:45'", "weather\t"},
		{"SELECT max(n) FROM (SELECT blob1 AS city, count() AS n FROM weather GROUP BY city)", "3"},
		{"SELECT * FROM (SELECT blob3 AS b FROM weather WHERE blob3 <> '')", `\tx\ny`},
		{"SELECT double1 AS double1, double1 + 1 AS next FROM weather WHERE double1 = 25", "25\t26"},
		{"SELECT blob1 AS index1 FROM weather WHERE index1 = 'Seattle' LIMIT 1", "Seattle"},
		{"SELECT count(), sum(double1), avg(double1), min(double1), min(blob1), quantileExactWeighted(0.5)(double1, 1) FROM weather WHERE blob1 = 'nowhere'", "0\t0\tnan\t0\t\tnan"},
		{"SELECT blob1 FROM weather WHERE blob1 = 'nowhere' GROUP BY blob1", ""},
		{`SELECT double1, double2 FROM "other-set"`, "nan\tinf"},
		{"SELECT sum(double3) FROM `other-set` -- a comment\n WHERE /* another */ 1 = 1", "0"},
		{"SELECT count() FROM weather WHERE blob1 = 'a' OR blob1 = 'Oslo' AND NOT double1 < 0", "2"},
		{"SELECT lower(blob1) AS l FROM weather GROUP BY l, double1 HAVING max(double1) > 10 ORDER BY max(double1)", "seattle\nseattle"},
		{"SHOW TABLES", "other-set\ttable\nweather\ttable"},
		{"show timezone", "Etc/UTC"},
	} {
		if got := ask(t, s, c.query); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.query, got, c.want)
		}
	}
}

func TestFormats(t *testing.T) {
	s := weather(t)
	for _, c := range []struct{ query, kind, want string }{
		{"SELECT timestamp, blob1 AS \"a \\\"name\\\"\", double1, count() AS n, _sample_interval, toStartOfMonth(timestamp) AS m FROM weather WHERE index1 = 'a' AND double1 = 15 GROUP BY timestamp, blob1, double1, _sample_interval", "application/json",
			`{"meta":[{"name":"timestamp","type":"DateTime"},{"name":"a \"name\"","type":"String"},{"name":"double1","type":"Float64"},{"name":"n","type":"UInt64"},{"name":"_sample_interval","type":"UInt32"},{"name":"m","type":"Date"}],` +
				`"data":[{"timestamp":"2026-11-25 12:21:45","a \"name\"":"Seattle","double1":15,"n":"1","_sample_interval":1,"m":"2026-11-01"}],"rows":1}` + "\n"},
		{"SELECT double1, double2, topK(blob1) AS k, toDateTime(0, 'Asia/Tokyo') AS t FROM \"other-set\" GROUP BY double1, double2 FORMAT JSON", "application/json",
			`{"meta":[{"name":"double1","type":"Float64"},{"name":"double2","type":"Float64"},{"name":"k","type":"Array(String)"},{"name":"t","type":"DateTime('Asia/Tokyo')"}],` +
				`"data":[{"double1":null,"double2":null,"k":[""],"t":"1970-01-01 09:00:00"}],"rows":1}` + "\n"},
		{"SELECT 1 AS a, -1 AS b, 300, true, 1.5 FORMAT JSONEachRow", "application/x-ndjson", `{"a":1,"b":-1,"300":300,"true":true,"1.5":1.5}` + "\n"},
		{"SELECT count() FROM weather WHERE 1 = 2 GROUP BY blob1", "application/json", `{"meta":[{"name":"count()","type":"UInt64"}],"data":[],"rows":0}` + "\n"},
		{"SELECT blob3 FROM weather WHERE blob3 <> '' format tabseparated;", "text/tab-separated-values; charset=utf-8", `\tx\ny` + "\n"},
	} {
		a, err := s.Query(t.Context(), c.query)
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if string(a.Body) != c.want || a.ContentType() != c.kind {
			t.Errorf("%s: %s\n%s\nwant %s\n%s", c.query, a.ContentType(), a.Body, c.kind, c.want)
		}
	}
}

// Whatever cannot be run is named.
func TestRefusedQueries(t *testing.T) {
	s := weather(t)
	for query, want := range map[string]string{
		"":                                  "the query is empty",
		"DELETE FROM weather":               "unsupported statement: DELETE",
		"SHOW TIMEZONES":                    "unsupported statement: SHOW TIMEZONES",
		"SELECT":                            "expected an expression, found: the end of the query",
		"SELECT 1 FROM":                     "expected the name of a table",
		"SELECT 1 FROM nowhere":             "unable to find table: nowhere",
		"SELECT blob21 FROM weather":        "unable to find column: blob21",
		"SELECT BLOB1 FROM weather":         "unable to find column: BLOB1",
		"SELECT a FROM (SELECT 1 AS b)":     "unable to find column: a",
		"SELECT sleep(3)":                   "unsupported function: sleep",
		"SELECT load_extension('x')":        "unsupported function: load_extension",
		"SELECT CASE WHEN 1 THEN 2 END":     "unsupported expression type: CASE",
		"SELECT CAST(1 AS INT)":             "unsupported expression type: CAST",
		"SELECT weather.blob1 FROM weather": "unsupported expression type: weather.",
		"SELECT (SELECT 1)":                 "a query within an expression",
		"SELECT blob1 FROM weather WHERE blob1 IN (SELECT 'a')":          "IN (SELECT …)",
		"SELECT blob1 IS NULL FROM weather":                              "unsupported operator: IS",
		"SELECT DISTINCT blob1 FROM weather":                             "SELECT DISTINCT",
		"SELECT 1 FROM weather JOIN weather":                             "unsupported: JOIN",
		"SELECT 1 FROM weather UNION ALL SELECT 1":                       "unsupported: UNION",
		"SELECT 1 FROM weather, weather":                                 "a query has one table",
		"SELECT 1 FROM sqlite_schema":                                    "unable to find table: sqlite_schema",
		"SELECT 1 FROM points_1":                                         "unable to find table: points_1",
		"SELECT count() OVER () FROM weather":                            "OVER",
		"SELECT 1; SELECT 2":                                             "expected the end of the query, found: SELECT",
		"SELECT 1 FORMAT CSV":                                            "unsupported format: CSV",
		"SELECT 'x":                                                      "a ' is not closed",
		"SELECT 1 /* x":                                                  "a comment is not closed",
		"SELECT 1x":                                                      "unexpected 'x' after the number 1",
		"SELECT $1":                                                      "unexpected character '$'",
		"SELECT 1 LIMIT -1":                                              "expected a whole number of rows",
		"SELECT blob1 + 1 FROM weather":                                  "unsupported operation: String + UInt8",
		"SELECT blob1 = 1 FROM weather":                                  "a value of type String cannot be compared with one of type UInt8",
		"SELECT sum(blob1) FROM weather":                                 "argument 1 of sum must be a number, not String",
		"SELECT pow(1)":                                                  "pow takes 2 arguments, not 1",
		"SELECT if(1, 'a', 2)":                                           "String and UInt8",
		"SELECT INTERVAL '1' DAY":                                        "an INTERVAL cannot be a column",
		"SELECT now() + INTERVAL '1' EON":                                "expected a unit of YEAR",
		"SELECT toDateTime('2022-12-01T16:17:00Z')":                      "is not a time of the form",
		"SELECT now() > 'soon'":                                          "is not a time of the form",
		"SELECT toDateTime('2022-12-01 16:17:00', 'Mars/Base')":          "unknown time zone: Mars/Base",
		"SELECT toDateTime(1, '../etc/passwd')":                          "unknown time zone",
		"SELECT toStartOfInterval(now(), INTERVAL '0' DAY)":              "must be positive",
		"SELECT formatDateTime(now(), '%J')":                             "unsupported format of formatDateTime: %J",
		"SELECT toUInt32(blob1) FROM weather":                            "is not a whole number",
		"SELECT format('{', blob1) FROM weather":                         "no other brackets",
		"SELECT blob1 FROM weather WHERE count() > 1":                    "not allowed in WHERE",
		"SELECT blob1 FROM weather WHERE blob1":                          "WHERE needs a condition, not a String",
		"SELECT count() FROM weather GROUP BY count()":                   "not allowed in WHERE or GROUP BY",
		"SELECT sum(count()) FROM weather":                               "within another one",
		"SELECT blob1, count() FROM weather":                             "column blob1 must be in GROUP BY or within an aggregate function",
		"SELECT blob1 FROM weather GROUP BY blob2":                       "column blob1 must be in GROUP BY",
		"SELECT * FROM weather GROUP BY blob1":                           "must be in GROUP BY",
		"SELECT blob1 FROM weather HAVING blob1 = 'a'":                   "HAVING needs GROUP BY",
		"SELECT blob1 FROM weather ORDER BY 2":                           "there is no column 2",
		"SELECT quantileExactWeighted(2)(double1, 1) FROM weather":       "must be 0 to 1",
		"SELECT quantileExactWeighted(double1)(double1, 1) FROM weather": "a number that is written down",
		"SELECT topK(0)(blob1) FROM weather":                             "from 1 to",
		"SELECT max(DISTINCT double1) FROM weather":                      "does not take DISTINCT",
		"SELECT pow(DISTINCT 1, 2)":                                      "without DISTINCT",
		"SELECT a AS b, b AS a":                                          "unable to find column",
		"SELECT 99999999999999999999 = 18446744073709551615":             "too large",
		"SELECT *": "SELECT * needs a table",
		"SELECT sum(_sample_interval * 9223372036854775807) FROM weather": "beyond 64 bits",
		"SELECT " + strings.Repeat("(", 100) + "1":                        "nested deeper",
		"SELECT " + strings.Repeat("-", 60) + " 1":                        "-- ", // a comment
		"SELECT 1 AS a0" + doubling(20):                                   "too large",
		"SELECT '" + strings.Repeat("x", maxQuery) + "'":                  "bytes; at most",
		"SELECT '\xff'": "not valid UTF-8",
	} {
		if want == "-- " {
			want = "expected an expression"
		}
		_, err := s.Query(t.Context(), query)
		var wrong *InputError
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), "Input was invalid: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", query, err, want)
		}
	}
}

// doubling has each alias twice in the next one.
func doubling(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", a%d + a%[1]d AS a%d", i, i+1)
	}
	return b.String()
}

// A query that would hold too much, or whose answer would be too large, says so,
// and the next one runs.
func TestBoundsOfQueries(t *testing.T) {
	s := open(t, Options{})
	big := strings.Repeat("x", MaxBlobBytes-4)
	for i := range 1200 {
		write(t, s, "big", Point{Index: fmt.Sprint(i % 2), Blobs: []string{fmt.Sprintf("%04d", i) + big}})
		if i%400 == 0 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Query(t.Context(), "SELECT blob1 FROM big"); err == nil || !strings.Contains(err.Error(), "the answer has more than 16 MiB") {
		t.Errorf("a large answer: %v", err)
	}
	if _, err := s.Query(t.Context(), "SELECT topK(format('{}{}{}{}', blob1, blob1, blob1, blob1)) AS q FROM big"); err == nil || !strings.Contains(err.Error(), "too much memory") {
		t.Errorf("large aggregates: %v", err)
	}
	if got := ask(t, s, "SELECT count() FROM big"); got != "1200" {
		t.Errorf("after that: %s", got)
	}
}

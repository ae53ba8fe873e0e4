package workflow

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// units are the milliseconds of each unit in a duration.
var units = map[string]float64{
	"millisecond": 1, "second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000,
	"week": 7 * 86_400_000, "month": 30 * 86_400_000, "year": 365 * 86_400_000,
}

var durationText = regexp.MustCompile(`^\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+?)s?\s*$`)

// maxMillis bounds what a duration may come to, so that sums do not overflow:
// 1,000 years.
const maxMillis = 1000 * 365 * 86_400_000

// parseDuration reads a duration as Workers write it, a number of milliseconds
// or a text such as "5 minutes", into milliseconds.
//
// Source: https://developers.cloudflare.com/workflows/build/workers-api/#workflowsleepduration
func parseDuration(raw json.RawMessage) (ms int64, err error) {
	var text string
	var number float64
	switch {
	case json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"':
		m := durationText.FindStringSubmatch(text)
		if m == nil || units[m[2]] == 0 {
			return 0, fmt.Errorf("invalid duration %q", text)
		}
		if number, err = strconv.ParseFloat(m[1], 64); err != nil {
			return 0, fmt.Errorf("invalid duration %q", text)
		}
		number *= units[m[2]]
	case json.Unmarshal(raw, &number) != nil || string(raw) == "null":
		return 0, fmt.Errorf("invalid duration %s", raw)
	}
	if !(number >= 0 && number <= maxMillis) {
		return 0, fmt.Errorf("invalid duration %s", raw)
	}
	return int64(math.Round(number)), nil
}

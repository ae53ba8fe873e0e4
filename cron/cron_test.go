package cron

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// TestNext lists the first times at which expressions fire after a moment.
func TestNext(t *testing.T) {
	tests := []struct{ expression, after, want string }{
		{"* * * * *", "2026-11-20 10:00", "2026-11-20 10:01, 2026-11-20 10:02"},
		{"*/30 * * * *", "2026-11-20 10:00", "2026-11-20 10:30, 2026-11-20 11:00"},
		{"10/25 * * * *", "2026-11-20 10:00", "2026-11-20 10:10, 2026-11-20 10:35"},
		{"45 * * * *", "2026-11-20 10:50", "2026-11-20 11:45, 2026-11-20 12:45"},
		{"0 9-17/4 * * *", "2026-11-20 10:00", "2026-11-20 13:00, 2026-11-20 17:00"},
		{"0 17 * * sun", "2026-11-20 00:00", "2026-11-22 17:00, 2026-11-29 17:00"},
		{"0 17 * * 1", "2026-11-20 00:00", "2026-11-22 17:00, 2026-11-29 17:00"}, // 1 is Sunday
		{"10 7 * * mon-fri", "2026-11-20 08:00", "2026-11-23 07:10, 2026-11-24 07:10"},
		{"10 7 * * 2-6", "2026-11-20 08:00", "2026-11-23 07:10, 2026-11-24 07:10"},
		{"0 15 1 * *", "2026-11-20 00:00", "2026-12-01 15:00, 2027-01-01 15:00"},
		{"0 18 * * 6L", "2026-11-20 00:00", "2026-11-27 18:00, 2026-12-25 18:00"}, // last Friday
		{"0 18 * * friL", "2026-11-20 00:00", "2026-11-27 18:00, 2026-12-25 18:00"},
		{"0 0 * * L", "2026-11-20 00:00", "2026-11-21 00:00, 2026-11-28 00:00"}, // Saturday
		{"59 23 LW * *", "2026-10-01 00:00", "2026-10-30 23:59, 2026-11-30 23:59"},
		{"0 0 L * *", "2028-02-01 00:00", "2028-02-29 00:00, 2028-03-31 00:00"},
		{"0 0 L-3 * *", "2026-11-01 00:00", "2026-11-27 00:00, 2026-12-28 00:00"},
		{"0 0 15W * *", "2026-11-01 00:00", "2026-11-16 00:00, 2026-12-15 00:00"}, // the 15th is a Sunday
		{"0 0 1W * *", "2026-07-30 00:00", "2026-08-03 00:00, 2026-09-01 00:00"},  // the 1st is a Saturday
		{"0 0 31W * *", "2026-02-01 00:00", "2026-03-31 00:00, 2026-05-29 00:00"}, // months without a 31st have none
		{"0 0 * * 2#1", "2026-11-20 00:00", "2026-12-07 00:00, 2027-01-04 00:00"},
		{"0 0 13 * 6", "2026-11-10 00:00", "2026-11-13 00:00, 2026-11-20 00:00"}, // either field
		{"0 0 29 FEB *", "2026-01-01 00:00", "2028-02-29 00:00"},
		{"0 0 1 jan,JUL ?", "2026-05-01 00:00", "2026-07-01 00:00, 2027-01-01 00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.expression, func(t *testing.T) {
			e, err := Parse(tt.expression)
			if err != nil {
				t.Fatal(err)
			}
			const layout = "2006-01-02 15:04"
			at, err := time.Parse(layout, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(tt.want, ", ")
			var got []string
			for end := at.AddDate(3, 0, 0); len(got) < len(want) && at.Before(end); {
				if at = at.Add(time.Minute); e.Matches(at) {
					got = append(got, at.Format(layout))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("fires at %v, want %v", got, want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ expression, want string }{
		{"", "has 0 fields"},
		{"* * * *", "has 4 fields"},
		{"* * * * * *", "has 6 fields"},
		{"60 * * * *", `minute: "60" is not a value from 0 to 59`},
		{"* 24 * * *", `hour: "24" is not a value from 0 to 23`},
		{"* * 0 * *", `day of month: "0" is not a value from 1 to 31`},
		{"* * * 13 *", `month: "13" is not a value from 1 to 12`},
		{"* * * * 0", `day of week: "0" is not a value from 1 to 7`},
		{"* * * * 2#6", `day of week: "6" is not a value from 1 to 5`},
		{"*/0 * * * *", `minute: step "0"`},
		{"5-1 * * * *", `minute: range "5-1" runs backwards`},
		{"1,,2 * * * *", `minute: "" is not a value`},
		{"+1 * * * *", `minute: "+1" is not a value`},
	}
	for _, tt := range tests {
		if _, err := Parse(tt.expression); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want an error with %q", tt.expression, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"* * * * *", "0 0 L-3 * *", "0 0 15W * 2#1", "10/25 1-5,7 LW jan friL", "a b c d e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := Parse(text); err == nil {
			e.Matches(time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC))
		}
	})
}

func TestSchedulerFiresOnTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var source config.Value
		source.Set(&config.Snapshot{Workers: map[string]*config.Worker{
			"often":  {Name: "often", Crons: []string{"* * * * *"}},
			"hourly": {Name: "hourly", Crons: []string{"2 * * * *", "not an expression"}},
		}})
		fired := make(chan string, 100)
		s := Scheduler{Source: &source, Fire: func(_ context.Context, worker, expression string, at time.Time) (string, error) {
			fired <- fmt.Sprintf("%s %q %s", worker, expression, at.Format("15:04:05"))
			return "ok", nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		time.Sleep(3*time.Minute + 30*time.Second) // synctest's clock: midnight, 2000-01-01
		cancel()
		<-done
		synctest.Wait()
		close(fired)
		var got []string
		for f := range fired {
			got = append(got, f)
		}
		slices.Sort(got)
		want := []string{
			`hourly "2 * * * *" 00:02:00`,
			`often "* * * * *" 00:01:00`, `often "* * * * *" 00:02:00`, `often "* * * * *" 00:03:00`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("fired %v, want %v", got, want)
		}
	})
}

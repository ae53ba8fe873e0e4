package workflow

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// Schedules create instances on the minute while the Worker is there, and none for
// minutes that have passed.
func TestSchedules(t *testing.T) {
	inBubble(t, nil, func(b *bench) { // a bubble begins at midnight
		b.function = func(_ context.Context, e Event, _ *Steps) (any, error) {
			b.note("%s %s", e.Schedule.Cron, e.Schedule.Time.Format("15:04"))
			return nil, nil
		}
		settings := Settings{Script: "w", Class: "Flow", Schedules: []string{"*/2 * * * *", "3 * * * *"}}
		put := func() {
			if _, err := b.k.store.Put("flow", settings, true); err != nil {
				t.Fatal(err)
			}
		}
		put()
		b.after(3 * time.Minute) // there is no Worker
		b.source.Set(&config.Snapshot{Workers: map[string]*config.Worker{"w": {Name: "w"}}})
		b.after(3*time.Minute, "240 */2 * * * * 00:04", "360 */2 * * * * 00:06")
		b.stop()
		time.Sleep(4*time.Minute + 30*time.Second)
		b.close()
		b.open() // in the middle of minute 10
		b.after(time.Minute)
		put()
		b.after(time.Minute, "720 */2 * * * * 00:12")
		settings.Schedules = []string{"* * * * *"}
		put()
		b.after(2*time.Minute, "780 * * * * * 00:13", "840 * * * * * 00:14")
		settings.Schedules = nil
		put()
		b.after(time.Hour)
		list, _, err := b.flow.list(t.Context(), Filter{Limit: 100})
		if err != nil || len(list) != 5 || list[0].Trigger != "cron" || !scheduledID.MatchString(list[0].ID) {
			t.Errorf("%+v %v", list, err)
		}
	})
}

// An instance of a schedule and a minute is created once.
func TestScheduledOnce(t *testing.T) {
	inBubble(t, func(context.Context, Event, *Steps) (any, error) { return nil, nil }, func(b *bench) {
		minute := time.Now()
		if _, err := b.flow.Create(t.Context(), b.flow.scheduled("* * * * *", minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.flow.Create(t.Context(), b.flow.scheduled("* * * * *", minute)); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
		if _, err := b.flow.Create(t.Context(), b.flow.scheduled("*/1 * * * *", minute)); err != nil {
			t.Error(err)
		}
	})
}

// What is wrong with the settings of a Workflow is said, and changes nothing.
func TestSettings(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		for _, c := range []struct {
			settings Settings
			want     string
		}{
			{Settings{Class: "Flow"}, "script_name and class_name must say"},
			{Settings{Script: "w", Class: "Flow", Steps: MaxSteps + 1}, "limits.steps is 25001"},
			{Settings{Script: "w", Class: "Flow", Concurrency: -1}, "concurrency.limit is -1"},
			{Settings{Script: "w", Class: "Flow", Schedules: []string{"* * * * *", "60 * * * *"}}, "invalid cron string '60 * * * *'"},
			{Settings{Script: "w", Class: "Flow", Schedules: make([]string, MaxSchedules+1)}, "there are 101 schedules"},
		} {
			before := b.flow.Info()
			if _, err := b.k.store.Put("flow", c.settings, true); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %s", c.settings, err, c.want)
			}
			if after := b.flow.Info(); !after.Settings.equal(before.Settings) || len(after.Versions) != len(before.Versions) {
				t.Errorf("%+v: became %+v", c.settings, after)
			}
		}
		jurisdiction := func(name, j string) error {
			_, err := b.k.store.Put(name, Settings{Script: "w", Class: "Flow", Jurisdiction: j}, true)
			return err
		}
		for _, j := range []string{"eu", "", "eu"} {
			b.must(jurisdiction("there", j))
		}
		if err := jurisdiction("there", "us"); err == nil || !strings.Contains(err.Error(), "jurisdiction") {
			t.Error(err)
		}
	})
}

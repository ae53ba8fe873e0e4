package workflow

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/cron"
)

// timetable creates instances of a Workflow by its schedules, as cron triggers fire:
// for a minute that begins while the scheduler runs, and once.
type timetable struct {
	of     []string
	parsed []*cron.Expression
	last   time.Time // the minute that was looked at
}

// tick creates the instances of the minute that has begun and says when the next
// one begins; zero without schedules.
func (t *timetable) tick(s *scheduler) time.Time {
	settings := s.w.Info().Settings
	if len(settings.Schedules) == 0 {
		*t = timetable{}
		return time.Time{}
	}
	minute := s.w.store.now().Truncate(time.Minute).UTC()
	next := minute.Add(time.Minute)
	if t.last.IsZero() {
		t.last = minute
	}
	if !minute.After(t.last) {
		return next
	}
	t.last = minute
	if s.source.Current().Workers[settings.Script] == nil {
		return next // nobody would run them
	}
	for i, e := range t.expressions(settings.Schedules) {
		if e == nil || !e.Matches(minute) {
			continue
		}
		_, err := s.w.Create(context.Background(), s.w.scheduled(settings.Schedules[i], minute))
		if err != nil && !errors.Is(err, ErrExists) && !errors.Is(err, ErrNoWorkflow) {
			s.w.store.log.Error("a schedule of a Workflow creates no instance", "workflow", s.w.name, "cron", settings.Schedules[i], "err", err)
		}
	}
	return next
}

// expressions are the schedules, parsed; nil for one that is none.
func (t *timetable) expressions(texts []string) []*cron.Expression {
	if len(t.of) == len(texts) && len(t.of) > 0 && &t.of[0] == &texts[0] {
		return t.parsed
	}
	t.of, t.parsed = texts, make([]*cron.Expression, len(texts))
	for i, text := range texts {
		t.parsed[i], _ = cron.Parse(text) // refused where it is configured
	}
	return t.parsed
}

// scheduled is the instance of a schedule for a minute. Its id is the same whoever
// creates it when, so that there is one of each.
func (w *Workflow) scheduled(text string, minute time.Time) Create {
	ms := minute.UnixMilli()
	id := fmt.Sprintf("cf_%x", sha256.Sum256(fmt.Appendf(nil, "%d %d %s", w.number, ms, text)))
	return Create{ID: &id, Params: Value("{}"), trigger: "cron", cron: text, scheduled: ms}
}

package workflow

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// toUndo lists the steps that are still to be undone, those that began last first.
func toUndo(steps []*step) (list []*step) {
	over := map[stepName]bool{}
	for _, st := range steps {
		if st.Type == typeUndo && (st.Done || st.Failure != nil) {
			over[stepName{st.Name, st.Count}] = true
		}
	}
	for _, st := range steps {
		if st.Type == typeDo && st.Rollback && !over[stepName{st.Name, st.Count}] {
			list = append(list, st)
		}
	}
	slices.SortFunc(list, func(a, b *step) int { return cmp.Compare(b.place, a.place) })
	return list
}

// undo says which steps are still to be undone.
func (r *run) undo() []uint32 {
	places := []uint32{} // not null in JSON
	list := make([]*step, 0, len(r.steps))
	for _, st := range r.steps {
		list = append(list, st)
	}
	for _, st := range toUndo(list) {
		places = append(places, st.place)
	}
	return places
}

// rollBack begins to undo the steps of a run whose function has failed, and says
// which they are. In a run that began for that, it goes on.
func (r *run) rollBack(failure *Failure) (answer, error) {
	in := r.in
	for !r.ended && r.committing > 0 {
		in.quiet.Wait()
	}
	if r.ended {
		return endedAnswer, nil
	}
	if in.rec.Status == WaitingForPause { // it fails again when it is resumed
		return endedAnswer, in.pause()
	}
	places := r.undo()
	if in.rec.Rollback == nil && len(places) > 0 {
		if failure == nil {
			failure = internalFailure
		}
		err := in.change(func(next *record, b keyed.Batch) error {
			next.Status, next.Rollback = RollingBack, &rollback{Why: failure, Into: Errored}
			in.note(b, note{Type: noteUndo})
			return nil
		})
		if err != nil {
			return answer{}, err
		}
	}
	a := answer{Undo: places}
	if in.rec.Rollback != nil {
		a.Why = in.rec.Rollback.Why
	}
	return a, nil
}

// undoStep is the rollback of the step at a place: what to attempt, or what it has
// come to. missing: the Worker has no function for it any more.
func (r *run) undoStep(ctx context.Context, place uint32, c stepConfig, missing bool) (answer, error) {
	if !r.enter(ctx) {
		return endedAnswer, nil
	}
	var of *step
	for _, st := range r.steps {
		if st.place == place && st.Type == typeDo && st.Rollback {
			of = st
		}
	}
	if of == nil || r.in.rec.Rollback == nil {
		return answer{}, fatal("There is no step to undo at place %d", place)
	}
	p, err := c.policy("Rollback", of.Name)
	if err != nil {
		return answer{}, err
	}
	st, fresh, err := r.find(typeUndo, label{of.Name, of.Count})
	switch {
	case err != nil:
		return answer{}, err
	case st.Done || st.Failure != nil:
		return r.result(st)
	case missing:
		return r.fail(st, &Failure{"RollbackMissing", "Rollback function not available in registry"})
	}
	return r.start(ctx, st, fresh, p)
}

// RollBack ends the instance of an id like Terminate, once the rollbacks of its
// steps have run. Meanwhile its status is RollingBack.
func (w *Workflow) RollBack(_ context.Context, id string) error {
	return w.named(id, func(in *instance) error {
		if in.rec.Status.ended() {
			return errEnded
		}
		if in.rec.Rollback != nil {
			return nil
		}
		in.stop()
		steps, err := w.store.steps(w.number, in.number)
		if err != nil {
			return err
		}
		if len(toUndo(steps)) == 0 {
			return in.finish(Terminated, nil, nil)
		}
		return in.change(func(next *record, b keyed.Batch) error {
			next.Status, next.Due, next.Held = RollingBack, w.store.millis(), 0
			next.Awaits, next.Running, next.Cuts = nil, false, 0
			next.Rollback = &rollback{Why: &Failure{"Terminated", "Instance terminated during rollback"}, Into: Terminated}
			in.note(b, note{Type: noteUndo})
			return nil
		})
	})
}

// errEnded is the refusal to terminate an instance that has ended.
var errEnded = refuse(http.StatusConflict, 10408, "instance.cannot_terminate", "Cannot terminate instance since its on a finite state")

// undone notes what a rollback has come to when its instance ends.
func (in *instance) undone(b keyed.Batch, next *record) error {
	if next.Rollback == nil || next.Rollback.Outcome != "" {
		return nil
	}
	steps, err := in.w.store.steps(in.w.number, in.number)
	if err != nil {
		return err
	}
	over := *next.Rollback
	over.Outcome = "complete"
	if len(toUndo(steps)) > 0 {
		over.Outcome = "failed"
	}
	for _, st := range steps {
		if st.Type == typeUndo && st.Failure != nil {
			over.Outcome, over.Failure = "failed", st.Failure
		}
	}
	typ := noteUndoDone
	if over.Outcome == "failed" {
		typ = noteUndoFailed
	}
	in.note(b, note{Type: typ})
	next.Rollback = &over
	return nil
}

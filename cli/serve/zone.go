package serve

import (
	"context"
	"errors"
	"fmt"

	"github.com/selvage-edge/selvage/control/state"
)

// addZones makes the zones that the settings name and the state lacks. None is
// removed: routes and custom domains may depend on it.
func (s *server) addZones(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	ctx = state.WithActor(ctx, &state.Actor{Token: "config", TokenName: "selvage.toml", Action: "add zones"})
	st := s.platform.Stores.State
	missing := func(tx *state.Tx) (list []string, err error) {
		for _, name := range names {
			_, err := tx.ZoneByName(name)
			if errors.Is(err, state.ErrNotFound) {
				list = append(list, name)
			} else if err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	var list []string
	err := st.View(ctx, func(tx *state.Tx) (err error) { list, err = missing(tx); return err })
	if err != nil || len(list) == 0 {
		return err
	}
	err = st.Update(ctx, func(tx *state.Tx) error {
		list, err := missing(tx)
		for _, name := range list {
			if _, err := tx.AddZone(name); err != nil {
				return fmt.Errorf("add zone %s: %w", name, err)
			}
		}
		return err
	})
	return err
}

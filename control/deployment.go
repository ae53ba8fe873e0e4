package control

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
)

// listedDeployments is how many deployments are listed, newest first.
const listedDeployments = 10

func deploymentJSON(d state.Deployment) map[string]any {
	annotations := d.Annotations
	if annotations == nil {
		annotations = map[string]string{}
	}
	return map[string]any{
		"id": d.ID, "source": d.Source, "strategy": "percentage", "author_email": d.Author,
		"annotations": annotations, "created_on": stamp(d.Created), "versions": d.Shares,
	}
}

func (s *server) listDeployments(w http.ResponseWriter, r *http.Request) error {
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		deployments, err := tx.Deployments(worker.Name, listedDeployments)
		for _, d := range deployments {
			list = append(list, deploymentJSON(d))
		}
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"deployments": list})
}

func (s *server) getDeployment(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("deployment")
	return s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		deployments, err := tx.Deployments(worker.Name, 1000)
		if err != nil {
			return err
		}
		for _, d := range deployments {
			if d.ID == id {
				return api.Write(w, deploymentJSON(d))
			}
		}
		return api.Errorf(http.StatusNotFound, 10007, "workers.api.error.deployment_not_found: this Worker has no deployment %q", id)
	})
}

// postDeployment gives one or two versions the traffic. It is also rollback.
func (s *server) postDeployment(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Strategy    string                  `json:"strategy"`
		Versions    []state.DeploymentShare `json:"versions"`
		Annotations map[string]string       `json:"annotations"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if body.Strategy != "" && body.Strategy != "percentage" {
		return badRequest(10001, "the strategy of a deployment must be \"percentage\", not %q", body.Strategy)
	}
	if err := checkShares(body.Versions); err != nil {
		return err
	}
	name := r.PathValue("script")
	defer s.workers.lock(name)()
	d := state.Deployment{
		Worker: name, Source: source(r), Author: s.email(r),
		Annotations: annotate(body.Annotations, "deployment"), Shares: body.Versions,
	}
	var shares []config.Share
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		var versions []state.Version
		for _, share := range body.Versions {
			v, err := tx.Version(name, share.Version)
			if err != nil {
				return orNotFound(err, noVersion(share.Version))
			}
			if v.Classes = worker.Kept(v.Classes); !slices.Equal(v.Classes, worker.Classes) {
				return badRequest(10206, "version %s was uploaded before a Durable Object migration (%s) and cannot be deployed any more", v.ID, worker.MigrationTag)
			}
			versions = append(versions, v)
			c, err := tx.Config(v)
			if err != nil {
				return err
			}
			shares = append(shares, config.Share{Version: c, Percentage: share.Percentage})
		}
		if r.URL.Query().Get("force") == "true" {
			return nil
		}
		return s.checkSecrets(tx, name, versions)
	})
	if err != nil {
		return err
	}
	err = s.deploy(r, name, shares, func() error {
		return s.update(r, func(tx *state.Tx) error {
			worker, err := s.worker(tx, r)
			if err != nil {
				return err
			}
			worker.LastDeployedFrom = d.Source
			if err := tx.PutWorker(&worker); err != nil {
				return err
			}
			return tx.Deploy(&d)
		})
	})
	if err != nil {
		return err
	}
	return api.Write(w, deploymentJSON(d))
}

func checkShares(shares []state.DeploymentShare) error {
	if n := len(shares); n < 1 || n > 2 {
		return badRequest(10001, "a deployment has one or two versions, not %d", n)
	}
	if len(shares) == 2 && shares[0].Version == shares[1].Version {
		return badRequest(10001, "a deployment cannot have the version %s twice", shares[0].Version)
	}
	total := 0.0
	for _, share := range shares {
		if share.Percentage < 0 || share.Percentage > 100 {
			return badRequest(10001, "the percentage %g of version %s is not between 0 and 100", share.Percentage, share.Version)
		}
		total += share.Percentage
	}
	if fmt.Sprintf("%.2f", total) != "100.00" {
		return badRequest(10001, "the percentages of a deployment must add up to 100, not %g", total)
	}
	return nil
}

// checkSecrets makes the client confirm that going back to an older version
// brings older secrets back.
func (s *server) checkSecrets(tx *state.Tx, worker string, versions []state.Version) error {
	current, err := tx.Deployment(worker)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	live, err := tx.Version(worker, current.Shares[0].Version)
	if err != nil {
		return err
	}
	var changed []string
	for _, v := range versions {
		if v.Number >= live.Number {
			continue
		}
		for _, b := range v.Bindings {
			now, ok := live.Bindings.Find(b.Name)
			if ref := s.state.SecretRef(b); ref != "" && ok && s.state.SecretRef(now) != ref && !slices.Contains(changed, b.Name) {
				changed = append(changed, b.Name)
			}
		}
	}
	if len(changed) == 0 {
		return nil
	}
	slices.Sort(changed)
	return badRequest(10220, "The secrets of this version differ from those of the active deployment. The following secrets have changed: %s", strings.Join(changed, ", "))
}

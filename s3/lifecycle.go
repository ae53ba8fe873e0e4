package s3

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/telemetry"
)

// maxSettings bounds the body of CORS and lifecycle rules.
const maxSettings = 1 << 20

const day = 24 * 60 * 60 // seconds

func (c *call) getBucketLifecycle() error {
	rules, err := c.store.Rules(c.r.Context(), c.bucketName)
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return refuse(http.StatusNotFound, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	}
	d := newDocument("LifecycleConfiguration")
	for _, rule := range rules {
		d.begin("Rule")
		d.text("ID", rule.ID)
		d.begin("Filter")
		d.text("Prefix", rule.Conditions.Prefix)
		d.end("Filter")
		if rule.Enabled {
			d.text("Status", "Enabled")
		} else {
			d.text("Status", "Disabled")
		}
		if rule.Delete != nil {
			d.begin("Expiration")
			writeDue(d, rule.Delete.Condition)
			d.end("Expiration")
		}
		for _, t := range rule.Classes {
			d.begin("Transition")
			writeDue(d, t.Condition)
			d.text("StorageClass", className(t.StorageClass))
			d.end("Transition")
		}
		if rule.Abort != nil {
			d.begin("AbortIncompleteMultipartUpload")
			d.number("DaysAfterInitiation", days(rule.Abort.Condition))
			d.end("AbortIncompleteMultipartUpload")
		}
		d.end("Rule")
	}
	d.end("LifecycleConfiguration")
	return c.write(d)
}

// days are those of an age, which over the REST API may be any number of seconds:
// a part of a day counts as one.
func days(due r2.Due) int64 { return (due.MaxAge + day - 1) / day }

func writeDue(d *document, due r2.Due) {
	if due.Type == "Date" {
		d.time("Date", due.Date)
	} else {
		d.number("Days", days(due))
	}
}

func (c *call) putBucketLifecycle() error {
	root, err := c.read("LifecycleConfiguration", maxSettings)
	if err != nil {
		return err
	}
	rules, err := rulesOf(root)
	if err != nil {
		return err
	}
	if err := c.store.SetRules(c.r.Context(), c.bucketName, rules); err != nil {
		return err
	}
	c.w.empty(http.StatusOK)
	return nil
}

// rulesOf reads lifecycle rules.
func rulesOf(root *element) ([]r2.Rule, error) {
	if root == nil || len(root.children) == 0 || root.only("Rule") != nil {
		return nil, errMalformedXML
	}
	rules := make([]r2.Rule, 0, len(root.children))
	for _, e := range root.children {
		rule, err := ruleOf(e)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func ruleOf(e *element) (rule r2.Rule, err error) {
	for _, version := range []string{"NoncurrentVersionExpiration", "NoncurrentVersionTransition"} {
		if len(e.all(version)) > 0 {
			return rule, notImplemented(version)
		}
	}
	if err := e.only("ID", "Filter", "Prefix", "Status", "Expiration", "Transition", "AbortIncompleteMultipartUpload"); err != nil {
		return rule, err
	}
	if rule.ID, err = e.text("ID"); err != nil {
		return rule, err
	}
	if rule.ID == "" {
		rule.ID = telemetry.NewRay() // a unique one
	}
	status, err := e.text("Status")
	if err != nil || status != "Enabled" && status != "Disabled" {
		return rule, errMalformedXML
	}
	rule.Enabled = status == "Enabled"
	if rule.Conditions.Prefix, err = prefixOf(e); err != nil {
		return rule, err
	}
	expiration, err := e.one("Expiration")
	if err != nil {
		return rule, err
	}
	if expiration != nil {
		if len(expiration.all("ExpiredObjectDeleteMarker")) > 0 {
			return rule, notImplemented("ExpiredObjectDeleteMarker")
		}
		due, err := dueOf(expiration)
		if err != nil {
			return rule, err
		}
		rule.Delete = &r2.Transition{Condition: due}
	}
	for _, t := range e.all("Transition") {
		due, err := dueOf(t, "StorageClass")
		if err != nil {
			return rule, err
		}
		class, err := t.text("StorageClass")
		if err != nil {
			return rule, err
		}
		if class != "STANDARD_IA" {
			return rule, badRequest("InvalidStorageClass", "A transition can lead to STANDARD_IA only.")
		}
		rule.Classes = append(rule.Classes, r2.ClassTransition{Condition: due, StorageClass: r2.InfrequentAccess})
	}
	abort, err := e.one("AbortIncompleteMultipartUpload")
	if err != nil || abort == nil {
		return rule, err
	}
	if err := abort.only("DaysAfterInitiation"); err != nil {
		return rule, err
	}
	text, err := abort.text("DaysAfterInitiation")
	if err != nil {
		return rule, err
	}
	age, err := ageOf(text)
	rule.Abort = &r2.Transition{Condition: age}
	return rule, err
}

// prefixOf reads what a rule is about: a prefix, in one of three places.
func prefixOf(rule *element) (string, error) {
	in := rule
	filter, err := rule.one("Filter")
	if err != nil {
		return "", err
	}
	if filter != nil {
		if len(rule.all("Prefix")) > 0 {
			return "", errMalformedXML
		}
		in = filter
		and, err := filter.one("And")
		if err != nil {
			return "", err
		}
		if and != nil {
			if err := filter.only("And"); err != nil {
				return "", err
			}
			in = and
		}
		for _, other := range []string{"Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"} {
			if len(in.all(other)) > 0 {
				return "", notImplemented("The filter " + other)
			}
		}
		if err := in.only("Prefix"); err != nil {
			return "", err
		}
	}
	return in.text("Prefix")
}

// dueOf reads Days or Date; others are the further elements that may be there.
func dueOf(e *element, others ...string) (r2.Due, error) {
	if err := e.only(append(others, "Days", "Date")...); err != nil {
		return r2.Due{}, err
	}
	text, err := e.text("Days")
	if err != nil {
		return r2.Due{}, err
	}
	date, err := e.text("Date")
	if err != nil || (text == "") == (date == "") {
		return r2.Due{}, errMalformedXML
	}
	if text != "" {
		return ageOf(text)
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(date))
	if err != nil {
		if at, err = time.Parse(time.DateOnly, strings.TrimSpace(date)); err != nil {
			return r2.Due{}, errMalformedXML
		}
	}
	if !at.Equal(at.UTC().Truncate(day * time.Second)) {
		return r2.Due{}, invalidArgument("'Date' must be at midnight GMT")
	}
	return r2.Due{Type: "Date", Date: at.UTC()}, nil
}

func ageOf(text string) (r2.Due, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return r2.Due{}, errMalformedXML
	}
	if n <= 0 {
		return r2.Due{}, invalidArgument("The number of days of an action must be a positive integer")
	}
	return r2.Due{Type: "Age", MaxAge: n * day}, nil
}

func (c *call) deleteBucketLifecycle() error {
	if err := c.store.SetRules(c.r.Context(), c.bucketName, nil); err != nil {
		return err
	}
	c.w.empty(http.StatusNoContent)
	return nil
}

package s3

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// cors says to a page of another origin what the bucket's rules say. It reports
// whether that is all there is to answer: a preflight has been.
func (c *call) cors() (done bool, err error) {
	preflight := c.r.Method == http.MethodOptions
	b, err := c.store.Bucket(c.bucketName)
	if err != nil {
		if preflight {
			return true, err
		}
		return false, nil // the operation says it, to those who may know
	}
	h := c.w.Header()
	if !preflight {
		b.CORS().Allow(c.r, h)
		return false, nil
	}
	c.record.Operation = "PreflightRequest"
	if !b.CORS().Preflight(c.r, h) {
		return true, refuse(http.StatusForbidden, "AccessForbidden", "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.")
	}
	c.w.empty(http.StatusOK)
	return true, nil
}

func (c *call) getBucketCORS() error {
	rules, err := c.store.CORS(c.r.Context(), c.bucketName)
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return r2.ErrNoCORS
	}
	d := newDocument("CORSConfiguration")
	for _, rule := range rules {
		d.begin("CORSRule")
		d.optional("ID", rule.ID)
		for _, list := range []struct {
			name   string
			values []string
		}{
			{"AllowedOrigin", rule.Allowed.Origins}, {"AllowedMethod", rule.Allowed.Methods},
			{"AllowedHeader", rule.Allowed.Headers}, {"ExposeHeader", rule.ExposeHeaders},
		} {
			for _, v := range list.values {
				d.text(list.name, v)
			}
		}
		if rule.MaxAge > 0 {
			d.number("MaxAgeSeconds", int64(rule.MaxAge))
		}
		d.end("CORSRule")
	}
	d.end("CORSConfiguration")
	return c.write(d)
}

func (c *call) putBucketCORS() error {
	root, err := c.read("CORSConfiguration", maxSettings)
	if err != nil {
		return err
	}
	rules, err := corsOf(root)
	if err != nil {
		return err
	}
	if err := c.store.SetCORS(c.r.Context(), c.bucketName, rules); err != nil {
		return err
	}
	c.w.empty(http.StatusOK)
	return nil
}

// corsOf reads CORS rules.
func corsOf(root *element) (r2.CORS, error) {
	if root == nil || len(root.children) == 0 || root.only("CORSRule") != nil {
		return nil, errMalformedXML
	}
	var rules r2.CORS
	for _, e := range root.children {
		if err := e.only("ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds"); err != nil {
			return nil, err
		}
		var rule r2.CORSRule
		for _, child := range e.children {
			if len(child.children) > 0 {
				return nil, errMalformedXML
			}
			v := strings.TrimSpace(child.content)
			switch child.name {
			case "AllowedOrigin":
				rule.Allowed.Origins = append(rule.Allowed.Origins, v)
			case "AllowedMethod":
				rule.Allowed.Methods = append(rule.Allowed.Methods, v)
			case "AllowedHeader":
				rule.Allowed.Headers = append(rule.Allowed.Headers, v)
			case "ExposeHeader":
				rule.ExposeHeaders = append(rule.ExposeHeaders, v)
			}
		}
		var err error
		if rule.ID, err = e.text("ID"); err != nil {
			return nil, err
		}
		age, err := e.text("MaxAgeSeconds")
		if err != nil {
			return nil, err
		}
		if age != "" {
			if rule.MaxAge, err = strconv.Atoi(strings.TrimSpace(age)); err != nil {
				return nil, errMalformedXML
			}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func (c *call) deleteBucketCORS() error {
	if err := c.store.SetCORS(c.r.Context(), c.bucketName, nil); err != nil {
		return err
	}
	c.w.empty(http.StatusNoContent)
	return nil
}

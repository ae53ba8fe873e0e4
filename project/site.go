package project

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/project/manifest"
)

// siteManifest is the module, and of a service-worker script the binding, that
// tells the keys of a site's files by their names.
const siteManifest = "__STATIC_CONTENT_MANIFEST"

const (
	maxSiteFile = 25 << 20 // bytes
	maxSiteKey  = 512      // UTF-16 units in wrangler, bytes in KV
)

// addSite adds the project's Workers Site to a version that has its code.
func addSite(v *config.Version, site *manifest.Site) error {
	names, files, err := readSite(site)
	if err != nil {
		return fmt.Errorf("site.bucket: %w", err)
	}
	v.Site = &config.Site{Binding: manifest.SiteFiles, Files: files}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	modules, _ := v.Code.(config.Modules)
	listed := config.Module{Name: siteManifest, Type: config.TextModule, Data: text}
	if v.ServiceWorker {
		b, err := manifest.PartBinding(siteManifest, listed)
		if err != nil {
			return err
		}
		v.Code, v.Bindings = append(modules, listed), append(v.Bindings, b)
		return nil
	}
	all := append(modules, listed)
	folders := map[string]bool{".": true}
	for _, m := range modules { // imports are relative to the importing module's folder
		folder := path.Dir(m.Name)
		if folders[folder] {
			continue
		}
		folders[folder] = true
		up := strings.Repeat("../", strings.Count(folder, "/")+1)
		all = append(all, config.Module{Name: path.Join(folder, siteManifest), Type: config.ESModule,
			Data: fmt.Appendf(nil, "export { default } from %q;", up+siteManifest)})
	}
	v.Code = all
	return nil
}

// readSite returns the keys of a site's files by name, and the files by key.
func readSite(site *manifest.Site) (names, files map[string]string, err error) {
	included, excluded := assets.Patterns(site.Include), assets.Patterns(site.Exclude)
	names, files = map[string]string{}, map[string]string{}
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := os.ReadDir(filepath.Join(site.Bucket, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			switch {
			case e.Name() == "node_modules", strings.HasPrefix(e.Name(), ".") && e.Name() != ".well-known":
				continue
			case e.IsDir():
				if err := walk(name); err != nil {
					return err
				}
				continue
			case len(site.Include) > 0 && !included(name), excluded(name):
				continue
			}
			file := filepath.Join(site.Bucket, filepath.FromSlash(name))
			key, err := siteKey(name, file)
			if err != nil {
				return err
			}
			names[name], files[key] = key, file
		}
		return nil
	}
	return names, files, walk("")
}

// siteKey is the key that wrangler gives a file: its name with the first ten
// digits of a hash of the content, in base64, before the extension.
func siteKey(name, file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if len(data) > maxSiteFile {
		return "", fmt.Errorf("file %s is too big, it should be under 25 MiB", name)
	}
	ext := path.Ext(name)
	if ext == path.Base(name) {
		ext = "" // ".well-known", the only hidden file
	}
	sum := xxhash.Sum64String(base64.StdEncoding.EncodeToString(data))
	key := strings.TrimSuffix(name, ext) + "." + fmt.Sprintf("%016x", sum)[:10] + ext
	if len(key) > maxSiteKey {
		return "", fmt.Errorf("the key %q exceeds the maximum key size limit of %d", key, maxSiteKey)
	}
	return key, nil
}

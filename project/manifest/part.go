package manifest

import (
	"fmt"

	"github.com/selvage-edge/selvage/config"
)

// PartBinding is the binding by which a service-worker script has a module that
// is no script: wrangler makes it in place of the import.
func PartBinding(name string, m config.Module) (config.Binding, error) {
	types := map[config.ModuleType]string{
		config.TextModule: "text_blob", config.DataModule: "data_blob", config.WasmModule: "wasm_module",
	}
	typ := types[m.Type]
	if typ == "" {
		return config.Binding{}, fmt.Errorf("a service-worker script cannot have the module %s: only ES modules can; change the entry point to `export default { … }`", m.Name)
	}
	return config.NewBinding(name, typ, map[string]string{"part": m.Name})
}

package binding

import "github.com/selvage-edge/selvage/engine/workerd"

// missingModule makes an object that throws as soon as a property is used, but
// lets itself be looked at: awaiting it, printing it or turning it into JSON
// asks for symbols, then, toJSON and what every object inherits.
const missingModule = `export default function ({ message }) {
  const fail = () => {
    throw new Error(message);
  };
  const inert = (target, property) =>
    typeof property === "symbol" || property === "then" || property === "toJSON" || property in target;
  return new Proxy({}, {
    get: (target, property) => (inert(target, property) ? Reflect.get(target, property) : fail()),
    set: fail,
    defineProperty: fail,
    deleteProperty: fail,
  });
}
`

// Missing mounts a binding that throws an Error with this message when the
// Worker uses it, so that a Worker whose feature is not there yet starts and
// everything else in it works. warning is shown to whoever deploys it.
func Missing(message, warning string) Mount {
	const name = "selvage:missing"
	return Mount{
		Value: workerd.WrappedValue{
			Module: name,
			Inner:  []workerd.Binding{{Name: "message", Value: workerd.TextValue(message)}},
		},
		Modules: []workerd.ExtensionModule{{Name: name, Internal: true, Source: missingModule}},
		Warning: warning,
	}
}

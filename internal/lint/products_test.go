package lint

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/platform"
)

// mayImport says who may import a product, and why. Everybody else asks every
// kind of binding; see package binding.
var mayImport = map[string]string{
	"platform/kinds.go":  "the list of products",
	"platform/s3.go":     "the S3 API works with R2's store",
	"s3":                 "the S3 API is R2's",
	"cli":                "a product's commands",
	"project/project.go": "the key assets is a folder, which package assets reads",
	"project/site.go":    "the patterns of the key site are those of .assetsignore",
	"*.go":               "the library has a product's Go types and options",
}

// mayName says who may name a type of binding, and why.
var mayName = map[string]string{
	"project/manifest": "the table of a project's keys and their types",
	"*.go":             "the library's options",
	// A quota may be called like the type of what it bounds.
	"cli/settings/check.go": "the keys of the table [quotas]",
	"cli/settings/parse.go": "the keys of the table [quotas]",
}

// listed reports whether list has a file, its folder, or the root's files.
func listed(list map[string]string, dir, file string) bool {
	if dir == "" {
		return list["*.go"] != ""
	}
	return list[dir] != "" || list[dir+"/"+file] != ""
}

// A product is its folder: no code outside names its type of binding or imports
// its package.
func TestNobodyKnowsAProductByName(t *testing.T) {
	home := map[string]string{} // the folder of each type
	for _, k := range platform.Kinds() {
		of := reflect.TypeOf(k)
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		home[k.Type()] = strings.TrimPrefix(of.PkgPath(), module+"/")
	}
	eachPackage(t, func(dir string, pkg *build.Package) {
		for _, name := range pkg.GoFiles {
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, filepath.Join("..", "..", dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, imp := range f.Imports {
				path, _ := strconv.Unquote(imp.Path.Value)
				product, ok := strings.CutPrefix(path, module+"/binding/")
				if ok && !strings.HasPrefix(dir, "binding/") && !listed(mayImport, dir, name) {
					t.Errorf("%s imports the product %s: let the kind tell what is needed; see binding/optional.go", set.Position(imp.Pos()), product)
				}
			}
			for _, typ := range typesNamed(f) {
				// A product may use words such as json with a meaning of its own.
				own := strings.HasPrefix(dir, "binding/") && !strings.Contains(typ.text, "_")
				if folder := home[typ.text]; folder != "" && folder != dir && !own && !listed(mayName, dir, name) {
					t.Errorf("%s names the type %q of %s: let the kind tell what is needed; see binding/optional.go", set.Position(typ.pos), typ.text, folder)
				}
			}
		}
	})
}

// literal is a string in the source.
type literal struct {
	text string
	pos  token.Pos
}

// typesNamed finds the strings that may name a type of binding. Most types are
// words that mean nothing else, such as kv_namespace; those with an underscore
// are found wherever they are. Of others, such as json, those are found that
// are compared with something called Type or typ, or are given to a binding.
func typesNamed(f *ast.File) (list []literal) {
	add := func(e ast.Expr, always bool) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil && (always || strings.Contains(text, "_")) {
				list = append(list, literal{text, l.Pos()})
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			add(n, false)
		case *ast.BinaryExpr:
			add(n.X, isType(n.Y))
			add(n.Y, isType(n.X))
		case *ast.SwitchStmt:
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					add(e, isType(n.Tag))
				}
			}
		case *ast.IndexExpr:
			add(n.Index, lastName(n.X) == "kinds")
		case *ast.CallExpr:
			if lastName(n.Fun) == "NewBinding" && len(n.Args) > 1 {
				add(n.Args[1], true)
			}
		case *ast.CompositeLit:
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && lastName(n.Type) == "Binding" && isType(kv.Key) {
					add(kv.Value, true)
				}
			}
		}
		return true
	})
	return list
}

// isType reports whether an expression is called Type or typ.
func isType(e ast.Expr) bool {
	name := lastName(e)
	return name == "Type" || name == "typ"
}

// lastName is the name of a variable, field, method or type.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return lastName(e.Fun)
	}
	return ""
}

func TestTypesNamed(t *testing.T) {
	for source, want := range map[string]string{
		`b.Type == "service"`:                              "service",
		`"service" != k.Type()`:                            "service",
		`typ == "json" || b.Name == "json"`:                "json",
		`map[string]int{"secret_text": 1}`:                 "secret_text",
		`kinds["d1"]`:                                      "d1",
		`config.NewBinding("json", "assets", nil)`:         "assets",
		`config.Binding{Name: "queue", Type: "json"}`:      "json",
		`func() { switch b.Type { case "ai", "queue": } }`: "ai queue",
		`format == "json"`:                                 "",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nvar _ = "+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range typesNamed(f) {
			got = append(got, l.text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: found %q, want %s", source, got, want)
		}
	}
}

package config

import (
	"reflect"
	"testing"
)

// TestTableFields checks every row at once: a mistake in the table is found
// before a user's file meets it.
func TestTableFields(t *testing.T) {
	for _, r := range allRows() {
		typ := sectionType(r.in)
		if typ == nil {
			t.Errorf("%s: block has no type", r.path())
			continue
		}
		func() {
			defer func() {
				if e := recover(); e != nil {
					t.Error(e)
				}
			}()
			field := fieldPath(typ, &r)
			if field == nil {
				return
			}
			ft := typeAt(typ, field)
			if want := kindsOf(r.args.kind); want != nil && !want[ft.String()] {
				t.Errorf("%s: field %s is %v, which its arguments do not fit", r.path(), r.to, ft)
			}
			checkRange(t, &r, ft)
		}()
	}
}

func typeAt(t reflect.Type, path []int) reflect.Type {
	for _, i := range path {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		t = t.Field(i).Type
	}
	return t
}

func kindsOf(k argKind) map[string]bool {
	switch k {
	case kindFlag, kindOptBool, kindBool:
		return map[string]bool{"bool": true, "*bool": true}
	case kindNumber, kindOptNumber:
		return map[string]bool{"int": true, "uint8": true, "uint16": true, "uint32": true, "int64": true}
	case kindNumbers:
		return map[string]bool{"[]int": true}
	case kindTime:
		return map[string]bool{"time.Duration": true}
	case kindString, kindOptString, kindChoice, kindInterface:
		return map[string]bool{"string": true}
	case kindStrings:
		return map[string]bool{"[]string": true}
	case kindIP, kindMulticast:
		return map[string]bool{"netip.Addr": true}
	case kindScript:
		return map[string]bool{"*config.Script": true, "config.Script": true}
	case kindWeight:
		return map[string]bool{"int": true}
	}
	return nil
}

// checkRange: a number that the row allows fits its field.
func checkRange(t *testing.T, r *row, ft reflect.Type) {
	if r.args.kind != kindNumber && r.args.kind != kindOptNumber {
		return
	}
	v := reflect.New(ft).Elem()
	for _, n := range []float64{r.args.min, r.args.max} {
		if v.CanUint() && (n < 0 || v.OverflowUint(uint64(n))) || v.CanInt() && v.OverflowInt(int64(n)) {
			t.Errorf("%s: %v does not fit %v", r.path(), n, ft)
		}
	}
}

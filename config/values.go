package config

import (
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// maxInterface is IFNAMSIZ without the final NUL (linux/if.h).
const maxInterface = 15

// set reads the arguments of a simple keyword into its field. A bad value is
// reported and leaves the field as it was.
func (b *binder) set(c *call) bool {
	args := c.st.args()
	spec := &c.row.args
	used := 1
	ok := true
	switch spec.kind {
	case kindFlag:
		used = 0
		c.field.SetBool(true)
	case kindBool, kindOptBool:
		used, ok = b.setBool(c, args)
	case kindNumber, kindOptNumber:
		n := spec.unit
		if len(args) > 0 {
			n, ok = b.number(c, args[0], spec.min, spec.max)
		}
		if ok {
			setNumber(c.field, n)
		}
	case kindNumbers:
		used = len(args)
		ok = b.setNumbers(c, args)
	case kindTime:
		var d time.Duration
		if d, ok = b.duration(c, args[0]); ok {
			c.field.SetInt(int64(d))
		}
	case kindString:
		c.field.SetString(strings.Clone(args[0].text))
	case kindOptString:
		c.field.SetString(spec.words[0])
		if len(args) > 0 {
			c.field.SetString(strings.Clone(args[0].text))
		}
	case kindStrings:
		used = len(args)
		var list []string
		for _, a := range args {
			list = append(list, strings.Clone(a.text))
		}
		c.field.Set(reflect.ValueOf(list))
	case kindInterface:
		if ok = b.interfaceName(c, args[0]); ok {
			c.field.SetString(strings.Clone(args[0].text))
		}
	case kindChoice:
		ok = b.setChoice(c, args[0])
	case kindIP, kindMulticast:
		ok = b.setIP(c, args[0])
	case kindWeight:
		used, ok = b.setWeight(c, args)
	case kindScript:
		return b.setScript(c)
	}
	if ok {
		b.surplus(c, used)
	}
	return ok
}

// surplus warns of words that keepalived drops silently.
func (b *binder) surplus(c *call, used int) {
	if args := c.st.args(); len(args) > used {
		b.warn(c, args[used], "%q and what follows is ignored; one statement a line, expected %s", printable(args[used].text), c.row.usage())
	}
}

// parseBool knows keepalived's six words, in lower case only.
func parseBool(s string) (val, ok bool) {
	switch s {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	}
	return false, false
}

func (b *binder) setBool(c *call, args []word) (int, bool) {
	val := true
	if len(args) > 0 {
		var ok bool
		if val, ok = parseBool(args[0].text); !ok {
			b.warn(c, args[0], "bad value %q; expected on, off, true, false, yes or no", printable(args[0].text))
			return 1, false
		}
	}
	if c.field.Kind() == reflect.Pointer {
		c.field.Set(reflect.ValueOf(&val))
	} else {
		c.field.SetBool(val)
	}
	return 1, true
}

// number reads a whole decimal number in a range.
func (b *binder) number(c *call, w word, lo, hi float64) (float64, bool) {
	n, err := strconv.ParseInt(w.text, 10, 64)
	if err != nil {
		b.warn(c, w, "bad number %q; expected a whole number %s%s", printable(w.text), span(lo, hi), placeholder(w.text))
		return 0, false
	}
	if float64(n) < lo || float64(n) > hi {
		b.warn(c, w, "number %d is out of range; expected %s", n, span(lo, hi))
		return 0, false
	}
	return float64(n), true
}

func span(lo, hi float64) string {
	return "from " + strconv.FormatFloat(lo, 'f', -1, 64) + " to " + strconv.FormatFloat(hi, 'f', -1, 64)
}

// setNumber stores a number in a field of any width; the range of the row fits
// the field, which a test checks.
func setNumber(v reflect.Value, n float64) {
	switch {
	case v.CanUint():
		v.SetUint(uint64(n))
	default:
		v.SetInt(int64(n))
	}
}

func (b *binder) setNumbers(c *call, args []word) bool {
	var list []int
	for _, a := range args {
		n, ok := b.number(c, a, c.row.args.min, c.row.args.max)
		if !ok {
			return false
		}
		list = append(list, int(n))
	}
	c.field.Set(reflect.ValueOf(list))
	return true
}

// parseDecimal reads a decimal number with at most six places, exactly, as
// millionths.
func parseDecimal(s string) (int64, bool) {
	if len(s) == 1 && isDigit(s[0]) {
		return int64(s[0]-'0') * 1000000, true
	}
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	whole, frac, dot := strings.Cut(s, ".")
	if whole == "" && frac == "" || len(whole) > 12 || dot && strings.Trim(frac, "0123456789") != "" {
		return 0, false
	}
	if len(frac) > 6 {
		frac = frac[:6]
	}
	n, err := strconv.ParseUint("0"+whole+frac+strings.Repeat("0", 6-len(frac)), 10, 63)
	if err != nil {
		return 0, false
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

// duration reads a time in the unit of the row.
func (b *binder) duration(c *call, w word) (time.Duration, bool) {
	return b.durationIn(c, w, c.row.args.min, c.row.args.max, c.row.args.unit)
}

func (b *binder) durationIn(c *call, w word, lo, hi, unit float64) (time.Duration, bool) {
	n, ok := parseDecimal(w.text)
	if !ok {
		b.warn(c, w, "bad time %q; expected a number %s, in %s%s", printable(w.text), span(lo, hi), unitName(unit), placeholder(w.text))
		return 0, false
	}
	if n < int64(math.Round(lo*1e6)) || n > int64(math.Round(hi*1e6)) {
		b.warn(c, w, "time %s is out of range; expected %s, in %s", printable(w.text), span(lo, hi), unitName(unit))
		return 0, false
	}
	return time.Duration(n * int64(unit) / 1e6), true
}

func unitName(unit float64) string {
	switch unit {
	case 1e9:
		return "seconds"
	case 1e6:
		return "milliseconds"
	}
	return "microseconds"
}

func (b *binder) interfaceName(c *call, w word) bool {
	if len(w.text) > maxInterface {
		b.warn(c, w, "interface name %q is too long; expected at most %d characters", printable(w.text), maxInterface)
		return false
	}
	return true
}

func (b *binder) setChoice(c *call, w word) bool {
	for _, s := range c.row.args.words {
		if s == w.text {
			c.field.SetString(s)
			return true
		}
	}
	b.warn(c, w, "bad value %q; expected %s", printable(w.text), either(c.row.args.words))
	return false
}

func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// address reads an IP address of a family; 0 is either.
func (b *binder) address(c *call, w word, family int) (netip.Addr, bool) {
	a, err := netip.ParseAddr(w.text)
	want := "an IP address"
	if family != 0 {
		want = "an IPv" + strconv.Itoa(family) + " address"
	}
	if err != nil {
		b.warn(c, w, "bad address %q; expected %s%s", printable(w.text), want, placeholder(w.text))
		return a, false
	}
	if a = a.Unmap(); family != 0 && familyOf(a) != family {
		b.warn(c, w, "address %s is of the wrong family; expected %s", a, want)
		return a, false
	}
	return a, true
}

// placeholder explains words that were left in from a manual or a template.
func placeholder(s string) string {
	if strings.HasPrefix(s, "<") && len(s) > 1 && (isLetter(s[1]) || s[1] == '>') || strings.HasPrefix(s, "$") {
		return ` (this looks like a placeholder that was not filled in)`
	}
	return ""
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

func (b *binder) setIP(c *call, w word) bool {
	a, ok := b.address(c, w, int(c.row.args.min))
	if !ok {
		return false
	}
	if c.row.args.kind == kindMulticast && !a.IsMulticast() {
		b.warn(c, w, "%s is not a multicast address; expected 224.0.0.0/4 or ff00::/8", a)
		return false
	}
	c.field.Set(reflect.ValueOf(a))
	return true
}

// setWeight reads N [reverse]; the field beside Weight is Reverse.
func (b *binder) setWeight(c *call, args []word) (int, bool) {
	n, reverse, used, ok := b.weight(c, args, c.row.args.min, c.row.args.max)
	if !ok {
		return used, false
	}
	c.field.SetInt(int64(n))
	obj := reflect.ValueOf(c.obj).Elem()
	if i := len(c.row.field) - 1; i > 0 {
		obj = fieldOf(obj, c.row.field[:i])
		if obj.Kind() == reflect.Pointer {
			obj = obj.Elem()
		}
	}
	obj.FieldByName("Reverse").SetBool(reverse)
	return used, true
}

func (b *binder) weight(c *call, args []word, lo, hi float64) (n int, reverse bool, used int, ok bool) {
	f, ok := b.number(c, args[0], lo, hi)
	if !ok {
		return 0, false, len(args), false
	}
	used = 1
	if len(args) > 1 {
		switch args[1].text {
		case "reverse":
			reverse = true
			used = 2
		case "noreverse", "no_reverse":
			used = 2
		}
	}
	return int(f), reverse, used, true
}

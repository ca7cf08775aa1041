package config

import (
	"reflect"
	"strings"
	"sync"
)

// status says what this program does with a keyword.
type status uint8

const (
	planned  status = iota // read and kept; nothing acts on it yet, and a warning says so
	works                  // carried out
	noeffect               // has no meaning in this program; the reason says why
	refused                // not accepted; the reason says why
)

func (s status) String() string {
	return [...]string{"planned", "works", "no effect here", "refused"}[s]
}

// Reasons that several keywords share.
const (
	oneProcess    = "one process does all the work"
	noTimeLimit   = "no thread of the daemon is ended for running long"
	unitFile      = "the scheduling of the one process is set in its systemd unit"
	noSNMP        = "there is no SNMP agent; Prometheus metrics and the status command tell the same"
	noDBus        = "there is no D-Bus service; the control socket and the status command tell the same"
	noIPTables    = "nftables is used, never iptables or ipsets"
	noBufs        = "netlink sockets recover from overruns by reading the state again"
	oneReader     = "one process reads the configuration, so no copy of it is needed"
	alwaysChecked = "every reload is checked before anything changes"
	accepted      = "keepalived accepts it and does nothing with it either"
)

// argKind is the shape of a keyword's arguments.
type argKind uint8

const (
	kindFlag argKind = iota
	kindBool
	kindOptBool
	kindNumber
	kindOptNumber
	kindNumbers
	kindTime
	kindString
	kindOptString
	kindStrings
	kindInterface
	kindChoice
	kindIP
	kindMulticast
	kindScript
	kindWeight
	kindCustom
	kindItems
	kindBlock
)

type handler func(*binder, *call)

// argSpec tells what arguments a keyword takes and who understands them.
type argSpec struct {
	kind     argKind
	syntax   string
	need     int // arguments without which keepalived stops
	min, max float64
	unit     float64 // nanoseconds, for kindTime
	words    []string
	fn       handler
	open     func(*binder, *call) any
}

var (
	bare    = argSpec{kind: kindFlag}
	boolean = argSpec{kind: kindBool, syntax: "BOOL"} // a bare keyword means on
	optBool = argSpec{kind: kindOptBool, syntax: "[BOOL]"}
)

func num(lo, hi float64) argSpec {
	return argSpec{kind: kindNumber, syntax: "N", need: 1, min: lo, max: hi}
}
func optNum(lo, hi, def float64) argSpec {
	return argSpec{kind: kindOptNumber, syntax: "[N]", min: lo, max: hi, unit: def}
}
func nums(lo, hi float64) argSpec {
	return argSpec{kind: kindNumbers, syntax: "N ...", need: 1, min: lo, max: hi}
}
func secs(lo, hi float64) argSpec {
	return argSpec{kind: kindTime, syntax: "SECS", need: 1, min: lo, max: hi, unit: 1e9}
}
func msecs(lo, hi float64) argSpec {
	return argSpec{kind: kindTime, syntax: "MS", need: 1, min: lo, max: hi, unit: 1e6}
}
func usecs(lo, hi float64) argSpec {
	return argSpec{kind: kindTime, syntax: "USECS", need: 1, min: lo, max: hi, unit: 1e3}
}
func str(name string) argSpec { return argSpec{kind: kindString, syntax: name, need: 1} }
func optStr(name, def string) argSpec {
	return argSpec{kind: kindOptString, syntax: "[" + name + "]", words: []string{def}}
}
func strs(name string) argSpec { return argSpec{kind: kindStrings, syntax: name + " ...", need: 1} }
func iface() argSpec           { return argSpec{kind: kindInterface, syntax: "IF", need: 1} }
func oneOf(words ...string) argSpec {
	return argSpec{kind: kindChoice, syntax: strings.Join(words, "|"), need: 1, words: words}
}

// ip takes an address of a family; 0 is either.
func ip(family float64) argSpec {
	return argSpec{kind: kindIP, syntax: "IP", need: 1, min: family}
}
func mcast(family float64) argSpec {
	return argSpec{kind: kindMulticast, syntax: "MCAST-IP", need: 1, min: family}
}
func script() argSpec {
	return argSpec{kind: kindScript, syntax: "CMD [USER [[:]GROUP]]", need: 1}
}

// plainScript is a command whose user is a keyword of its own.
func plainScript() argSpec { return argSpec{kind: kindScript, syntax: "CMD", need: 1} }
func weight(limit float64) argSpec {
	return argSpec{kind: kindWeight, syntax: "N [reverse]", need: 1, min: -limit, max: limit}
}
func custom(syntax string, need int, fn handler) argSpec {
	return argSpec{kind: kindCustom, syntax: syntax, need: need, fn: fn}
}
func items(syntax string, fn handler) argSpec {
	return argSpec{kind: kindItems, syntax: "{ " + syntax + " }", fn: fn}
}
func block(syntax string, open func(*binder, *call) any) argSpec {
	return argSpec{kind: kindBlock, syntax: strings.TrimSpace(syntax + " { }"), open: open}
}

// row is one keyword of one block.
type row struct {
	in     string // path of the block; empty: the top level
	word   string
	args   argSpec
	to     string // field of the block's type, dotted; empty: the handler knows
	def    string // default, for people
	doc    string
	status status
	reason string // why it has no effect or is refused
	old    string // deprecated: what replaces it
	alias  bool   // another keyword prints the same value
	lax    bool   // keepalived starts although the argument is missing
	sticky bool   // given counts even with a bad value: the plain default stands
	since  string // first release of keepalived, when later than 2.2

	idx   int
	num   int      // among all rows
	field []int    // index path of to
	sub   *section // of a block
}

func (r *row) path() string {
	if r.in == "" {
		return r.word
	}
	return r.in + "." + r.word
}

// section is one kind of block: its rows and the Go type they fill.
type section struct {
	path  string
	num   int // after those of all rows
	typ   reflect.Type
	rows  map[string]*row
	order []*row
	// many marks blocks that a file may have by the hundred thousand: what
	// they were given is kept in a list instead of a map.
	many bool
}

// sectionTypes are the types that the rows of a block fill.
func sectionType(path string) reflect.Type {
	switch path {
	case "":
		return reflect.TypeFor[Config]()
	case "virtual_server.real_server.SMTP_CHECK.host":
		return reflect.TypeFor[smtpHost]()
	}
	if strings.HasSuffix(path, ".url") {
		return reflect.TypeFor[URL]()
	}
	if strings.HasPrefix(path, "virtual_server.real_server.") {
		return reflect.TypeFor[Checker]()
	}
	return map[string]reflect.Type{
		"global_defs":                  reflect.TypeFor[Global](),
		"xvip":                         reflect.TypeFor[XVIP](),
		"SSL":                          reflect.TypeFor[SSL](),
		"track_group":                  reflect.TypeFor[TrackGroup](),
		"garp_group":                   reflect.TypeFor[GARPGroup](),
		"vrrp_sync_group":              reflect.TypeFor[VRRPSyncGroup](),
		"vrrp_instance":                reflect.TypeFor[VRRPInstance](),
		"vrrp_instance.authentication": reflect.TypeFor[Authentication](),
		"vrrp_instance.auth_hmac":      reflect.TypeFor[AuthHMAC](),
		"vrrp_script":                  reflect.TypeFor[VRRPScript](),
		"vrrp_track_process":           reflect.TypeFor[TrackProcess](),
		"track_file":                   reflect.TypeFor[TrackFile](),
		"vrrp_track_file":              reflect.TypeFor[TrackFile](),
		"bfd_instance":                 reflect.TypeFor[BFDInstance](),
		"virtual_server":               reflect.TypeFor[VirtualServer](),
		"virtual_server.real_server":   reflect.TypeFor[RealServer](),
	}[path]
}

// smtpHost is a host block of SMTP_CHECK: its own target, and settings that
// belong to the checker.
type smtpHost struct {
	ConnectOptions
	Checker *Checker
}

// allRows is the keyword table.
func allRows() []row {
	var all []row
	for _, t := range [][]row{tableTop, tableXvip, tableGlobal, tableVrrp, tableLvs, tableCheckers} {
		all = append(all, t...)
	}
	return all
}

// allSections is the index of the table, made once and never changed.
var allSections = sync.OnceValue(buildSections)

// buildSections indexes the table. It panics when a row names a field that its
// type does not have: that is a mistake in the table.
func buildSections() map[string]*section {
	sections := map[string]*section{}
	rows := allRows()
	for i := range rows {
		r := &rows[i]
		s := sections[r.in]
		if s == nil {
			s = &section{path: r.in, typ: sectionType(r.in), rows: map[string]*row{}, num: len(rows) + len(sections)}
			s.many = r.in == "virtual_server" || r.in == "virtual_server.real_server" || s.typ == reflect.TypeFor[Checker]()
			if s.typ == nil {
				panic("config: block " + r.in + " has no type")
			}
			sections[r.in] = s
		}
		if s.rows[r.word] != nil {
			panic("config: keyword " + r.path() + " is in the table twice")
		}
		r.idx, r.num = len(s.order), i
		r.field = fieldPath(s.typ, r)
		s.rows[r.word] = r
		s.order = append(s.order, r)
	}
	for i := range rows {
		rows[i].sub = sections[rows[i].path()]
	}
	return sections
}

func fieldPath(t reflect.Type, r *row) []int {
	var path []int
	if r.to == "" {
		return nil
	}
	for _, name := range strings.Split(r.to, ".") {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		f, ok := t.FieldByName(name)
		if !ok {
			panic("config: keyword " + r.path() + " names the field " + r.to + ", which does not exist")
		}
		path = append(path, f.Index...)
		t = f.Type
	}
	return path
}

// itemsOf is a list block with arguments of its own.
func itemsOf(args, syntax string, open func(*binder, *call) any, fn handler) argSpec {
	return argSpec{kind: kindItems, syntax: args + " { " + syntax + " }", open: open, fn: fn}
}

func rowCount(sections map[string]*section) int {
	n := 0
	for _, s := range sections {
		n += len(s.order)
	}
	return n
}

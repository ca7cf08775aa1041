package config

import (
	"encoding/hex"
	"strconv"
	"strings"
)

func (b *binder) digest(c *call) {
	w := c.st.args()[0]
	if raw, err := hex.DecodeString(w.text); err != nil || len(raw) != 16 {
		b.warn(c, w, "bad digest %q; expected 32 hexadecimal digits, as genhash prints them", printable(w.text))
		return
	}
	c.obj.(*URL).Digest = strings.ToLower(w.text)
	b.surplus(c, 1)
}

func (b *binder) statusCode(c *call) {
	u := c.obj.(*URL)
	for _, w := range c.st.args() {
		from, to, isRange := strings.Cut(w.text, "-")
		if !isRange {
			to = from
		}
		lo, err1 := strconv.Atoi(from)
		hi, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || lo < 100 || hi > 599 || hi < lo {
			b.warn(c, w, "bad status code %q; expected N or N-M from 100 to 599%s", printable(w.text), placeholder(w.text))
			continue
		}
		u.StatusCode = append(u.StatusCode, StatusRange{lo, hi})
	}
}

func (b *binder) regexStack(c *call) {
	u := c.obj.(*URL)
	var v [2]int
	for i, w := range c.st.args()[:2] {
		n, ok := b.number(c, w, 1, 1<<31-1)
		if !ok {
			return
		}
		v[i] = int(n)
	}
	u.RegexStack = v
	b.surplus(c, 2)
}

func (b *binder) payload(c *call) {
	if data, mask, ok := b.hexString(c); ok {
		for _, m := range mask {
			if m != 0xff {
				b.warnAt(c, "x is no digit of a payload; expected hexadecimal digits")
				return
			}
		}
		c.obj.(*Checker).UDP.Payload = data
	}
}

func (b *binder) requireReply(c *call) {
	u := c.obj.(*Checker).UDP
	if len(c.st.args()) > 0 {
		data, mask, ok := b.hexString(c)
		if !ok {
			return
		}
		u.Reply, u.ReplyMask = data, mask
	}
	u.RequireReply = true
}

// hexString reads hexadecimal digits in free form: each word is cut into
// pairs, and a single digit left over is an octet of its own. x is any digit.
func (b *binder) hexString(c *call) (data, mask []byte, ok bool) {
	for _, w := range c.st.args() {
		s := w.text
		for len(s) > 0 {
			n := min(2, len(s))
			var v, m byte
			if n == 1 {
				m = 0xf0
			}
			for _, d := range []byte(s[:n]) {
				v, m = v<<4, m<<4|0xf
				switch h := hexDigit(d); {
				case h >= 0:
					v |= byte(h)
				case d|0x20 == 'x':
					m &^= 0xf
				default:
					b.warn(c, w, "bad hexadecimal digit %q in %q", string(rune(d)), printable(w.text))
					return nil, nil, false
				}
			}
			if n == 1 {
				m |= 0xf0
			}
			data, mask = append(data, v), append(mask, m)
			s = s[n:]
		}
	}
	return data, mask, true
}

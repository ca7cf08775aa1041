package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/internal/script"
	"github.com/xvip-lb/xvip/vrrp"
)

// lastLines is how long the end waits for the readers of the FIFOs, which find
// their end once they have read everything.
const lastLines = time.Second

// fifos are the named pipes that hear of virtual routers. A pipe that stays in
// the configuration stays open, with its reader, over a reload.
type fifos struct {
	log  *slog.Logger
	open map[string]*openFIFO // by path
}

type openFIFO struct {
	cfg    config.FIFO
	fifo   *script.FIFO
	cancel context.CancelFunc
	reader sync.WaitGroup
}

func newFIFOs(log *slog.Logger) *fifos {
	return &fifos{log: log, open: map[string]*openFIFO{}}
}

// update opens what the configuration names, closes the others, and gives the
// pipes to write to. One that cannot be opened is told and left out.
func (f *fifos) update(global *config.Global) []vrrp.LineWriter {
	want := map[string]*config.FIFO{}
	var order []string
	for _, c := range []*config.FIFO{global.NotifyFIFO, global.VRRPNotifyFIFO} {
		if c == nil || c.Path == "" || want[c.Path] != nil {
			continue
		}
		want[c.Path] = c
		order = append(order, c.Path)
	}
	for path, o := range f.open {
		if c := want[path]; c == nil || !sameFIFO(c, &o.cfg) {
			f.end(path, o)
		}
	}
	var list []vrrp.LineWriter
	for _, path := range order {
		if f.open[path] == nil {
			f.begin(want[path])
		}
		if o := f.open[path]; o != nil {
			list = append(list, o.fifo)
		}
	}
	return list
}

// sameFIFO tells whether a pipe and its reader can go on.
func sameFIFO(a, b *config.FIFO) bool {
	if a.UID != b.UID || a.GID != b.GID || (a.Script == nil) != (b.Script == nil) {
		return false
	}
	return a.Script == nil || command(a.Script).String() == command(b.Script).String() &&
		a.Script.UID == b.Script.UID && a.Script.GID == b.Script.GID
}

func (f *fifos) begin(c *config.FIFO) {
	pipe, err := script.OpenFIFO(c.Path, c.UID, c.GID, f.log)
	if err != nil {
		f.log.Error("changes are not told to the fifo", "fifo", c.Path, "err", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &openFIFO{cfg: *c, fifo: pipe, cancel: cancel}
	f.open[c.Path] = o
	if c.Script != nil {
		o.reader.Go(func() {
			if err := pipe.RunReader(ctx, *command(c.Script)); err != nil {
				f.log.Error("the reader of the fifo ended", "fifo", c.Path, "err", err)
			}
		})
	}
}

// end closes a pipe; its reader may read what is left, and then is ended.
func (f *fifos) end(path string, o *openFIFO) {
	delete(f.open, path)
	if err := o.fifo.Close(); err != nil {
		f.log.Warn("fifo not removed", "fifo", path, "err", err)
	}
	late := time.AfterFunc(lastLines, o.cancel)
	defer late.Stop()
	o.reader.Wait()
	o.cancel()
}

// close ends all pipes.
func (f *fifos) close() {
	for path, o := range f.open {
		f.end(path, o)
	}
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vishvananda/netlink"
)

// watchAddresses is -a: it logs every address that comes to or goes from an
// interface, until ctx ends.
func watchAddresses(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		if err := logAddresses(ctx, log); err != nil {
			log.Warn("addresses are not watched for a moment", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func logAddresses(ctx context.Context, log *slog.Logger) error {
	updates := make(chan netlink.AddrUpdate, 64)
	done := make(chan struct{})
	defer close(done)
	broken := make(chan error, 1)
	opt := netlink.AddrSubscribeOptions{ErrorCallback: func(err error) {
		select {
		case broken <- err:
		default:
		}
	}}
	if err := netlink.AddrSubscribeWithOptions(updates, done, opt); err != nil {
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return err
		case u, ok := <-updates:
			if !ok {
				return errors.New("subscription ended")
			}
			what := "address removed"
			if u.NewAddr {
				what = "address added"
			}
			log.Info(what, "address", u.LinkAddress.String(), "interface", linkName(u.LinkIndex))
		}
	}
}

func linkName(index int) string {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("#%d", index)
	}
	return l.Attrs().Name
}

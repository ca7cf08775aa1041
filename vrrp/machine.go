package vrrp

import (
	"net/netip"
	"time"
)

// Config is what the election needs to know of one virtual router.
type Config struct {
	Name      string
	Interface string
	VRID      uint8
	Family    uint8 // 4 or 6
	Version   uint8 // 2 or 3
	Priority  uint8 // 255: owner of the addresses

	AdvertInterval   time.Duration
	DownTimerAdverts int // missed advertisements before a takeover
	Preempt          bool
	PreemptDelay     time.Duration
	// LatePriority is that of the quickest other router (timer_expired_backup):
	// a Master with nopreempt that was not running for as long as that router
	// waits becomes Backup, for it may have been replaced. 0 is never.
	LatePriority uint8
	Addresses    []netip.Addr // advertised, in order

	AuthType uint8         // version 2
	AuthData [authLen]byte // version 2: the password, or the key of AuthAH
	HMAC     *HMAC         // nil: none

	Group              netip.Addr // multicast group
	Peers              []Peer     // unicast to them instead of the group
	UnicastTTL         uint8      // sent to peers; 0: 255
	CheckUnicastSource bool       // refuse adverts of others than the peers
	Checksum           Checksum   // sent in version 3 over IPv4
	OldChecksum        OldChecksum
	SkipCheckAdvAddr   bool // the list of addresses is compared once for each master

	LowerPrioNoAdvert    bool // stay silent when a lower priority is heard
	HigherPrioSendAdvert bool // one last advertisement before yielding
	OwnerIgnoreAdverts   bool // priority 255 does not listen

	Announce Announcing
	// Buffer is the router's part of the receive buffer of its socket.
	Buffer ReceiveBuffer
}

// ReceiveBuffer is how much a socket holds for one virtual router. The kernel
// doubles the sum of all routers of a socket and has a least size (socket(7),
// SO_RCVBUF). Zero is our own size, which stands a flood.
type ReceiveBuffer struct {
	Octets  int
	Packets int // of the MTU of the interface, added to Octets
}

// Announcing says how often addresses are announced.
type Announcing struct {
	MasterRepeat    int           // rounds on becoming Master
	MasterDelay     time.Duration // before the second burst; 0: none
	Refresh         time.Duration // period while Master; 0: none
	RefreshRepeat   int
	LowerPrioDelay  time.Duration // before the second burst after a lower priority was heard
	LowerPrioRepeat int
}

// Event is something that happens to a virtual router.
type Event interface{ event() }

// Events.
type (
	// Inherit says that all addresses are on this host since an earlier life.
	// It comes before Startup.
	Inherit struct{}
	// Startup brings the router from Initialize into the election. A router
	// that resumes was Master until now, in another process.
	Startup struct{ Resume bool }
	// Shutdown takes it out again.
	Shutdown struct{}
	// Received is an advertisement that every check has accepted.
	Received struct {
		From   netip.Addr
		Advert Advert
	}
	// Tick says that time has passed: timers that are due fire.
	Tick struct{}
	// Conditions are what the trackers say: the faults, and the priority to
	// take part with. Source is the address advertisements leave from.
	Conditions struct {
		Fault    string // empty: none
		Priority uint8
		Source   netip.Addr
	}
	// Reconfigure replaces the configuration; role and timers stay.
	Reconfigure struct{ Config Config }
	// Join follows another member of the sync group to Master or Backup.
	Join struct {
		Role   Role
		Reason string
	}
)

func (Inherit) event()     {}
func (Startup) event()     {}
func (Shutdown) event()    {}
func (Received) event()    {}
func (Tick) event()        {}
func (Conditions) event()  {}
func (Reconfigure) event() {}
func (Join) event()        {}

// Action is something that the shell has to do.
type Action interface{ action() }

// Actions.
type (
	// SendAdvert sends one advertisement with this priority.
	SendAdvert struct{ Priority uint8 }
	// TakeAddresses makes the addresses ours; ReleaseAddresses gives them up.
	TakeAddresses    struct{}
	ReleaseAddresses struct{}
	// KeepAddresses keeps what an earlier life has left, before it is known
	// who is Master.
	KeepAddresses struct{}
	// AnnounceAddresses sends so many rounds of gratuitous ARP or NA.
	AnnounceAddresses struct{ Rounds int }
	// HeardLower tells that another router spoke as Master with a lower rank.
	HeardLower struct {
		From     netip.Addr
		Priority uint8
	}
	// RoleChanged tells notify scripts and the director.
	RoleChanged struct {
		From, To Role
		Reason   string
		Priority uint8
	}
)

func (SendAdvert) action()        {}
func (TakeAddresses) action()     {}
func (ReleaseAddresses) action()  {}
func (KeepAddresses) action()     {}
func (AnnounceAddresses) action() {}
func (HeardLower) action()        {}
func (RoleChanged) action()       {}

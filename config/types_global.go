package config

import (
	"net/netip"
	"time"
)

// Global holds global_defs and the single words of the top level.
type Global struct {
	Pos Pos // of the first global_defs; zero: there is none

	// Top level.
	LinkbeatUsePolling  bool
	NetNamespace        string
	NetNamespaceIPVS    string
	HasNetNamespaceIPVS bool // given, also without a name: the default namespace
	NamespaceWithIPSets bool
	UsePIDDir           bool
	Instance            string
	ChildWaitTime       time.Duration

	// Mail.
	NotificationEmail     []string
	NotificationEmailFrom string // resolved: root@HOST, as keepalived has it for its user
	SMTPServer            string // host or address; empty: no mail
	SMTPServerPort        uint16
	SMTPHeloName          string // resolved: host name
	SMTPConnectTimeout    time.Duration
	SMTPAlert             *bool // nil: not given; objects hold the resolved value
	SMTPAlertVRRP         *bool
	SMTPAlertChecker      *bool
	NoEmailFaults         bool
	NoCheckerEmails       bool
	RouterID              string // resolved: host name

	// VRRP.
	VRRPMcastGroup4             netip.Addr
	VRRPMcastGroup6             netip.Addr
	DefaultInterface            string
	VRRPGARPMasterDelay         time.Duration
	VRRPGARPMasterRepeat        int
	VRRPGARPMasterRefresh       time.Duration
	VRRPGARPMasterRefreshRepeat int
	VRRPGARPLowerPrioDelay      time.Duration
	VRRPGARPLowerPrioRepeat     int
	VRRPDownTimerAdverts        int
	VRRPGARPInterval            time.Duration
	VRRPGNAInterval             time.Duration
	VRRPMinGARP                 bool
	VRRPGARPExtraIf             time.Duration
	VRRPGARPExtraIfAll          bool
	VRRPLowerPrioNoAdvert       bool
	VRRPHigherPrioSendAdvert    bool
	VRRPOwnerIgnoreAdverts      bool
	VRRPVersion                 uint8
	V3ChecksumAsV2              bool
	VRRPCheckUnicastSrc         bool
	VRRPSkipCheckAdvAddr        bool
	VRRPStrict                  bool
	VRRPNotifyPriorityChanges   bool
	VRRPStartupDelay            time.Duration
	VRRPDelayAfterBoot          time.Duration
	DynamicInterfaces           bool
	DynamicInterfacesChanges    bool // allow_if_changes
	LogUnknownVRIDs             bool
	VMACPrefix                  string
	VMACAddrPrefix              string
	DisableLocalIGMP            bool
	VRRPRXBufsPolicy            string // "MTU", "ADVERT", a number of bytes, or empty
	VRRPRXBufsMultiplier        int
	FIFOWriteVRRPStatesOnReload bool

	// Firewall.
	VRRPIPTables            []string // chains; nil: not given
	HasVRRPIPTables         bool
	VRRPIPSets              []string
	HasVRRPIPSets           bool
	NFTables                string // table; empty: not given
	NFTablesPriority        int
	NFTablesCounters        bool
	NFTablesIfIndex         bool
	NFTablesIPVS            string
	NFTablesIPVSPriority    int
	NFTablesIPVSStartFWMark uint32

	// IPVS.
	LVSSyncDaemon         *LVSSyncDaemon // nil: off
	LVSTimeouts           LVSTimeouts
	LVSFlush              bool
	LVSFlushOnStop        bool
	LVSFlushOnStopVS      bool
	CheckerLogAllFailures bool
	RSInitNotifies        bool

	// Scripts and FIFOs.
	NotifyFIFO             *FIFO
	VRRPNotifyFIFO         *FIFO
	LVSNotifyFIFO          *FIFO
	ScriptUser             string // as written; empty: not given
	ScriptGroup            string
	ScriptUID              uint32 // resolved default identity
	ScriptGID              uint32
	EnableScriptSecurity   bool
	UseSymlinkPaths        bool
	SetSupplementaryGroups bool
	StartupScript          *Script
	StartupScriptTimeout   time.Duration
	ShutdownScript         *Script
	ShutdownScriptTimeout  time.Duration

	// Processes.
	ProcessNames         bool
	ProcessName          string
	VRRPProcessName      string
	CheckerProcessName   string
	BFDProcessName       string
	MaxAutoPriority      int
	MinAutoPriorityDelay time.Duration
	VRRPProcess          Process
	CheckerProcess       Process
	BFDProcess           Process

	VRRPNetlinkCmdRcvBufs          int // bytes; 0: the system's
	VRRPNetlinkCmdRcvBufsForce     bool
	VRRPNetlinkMonitorRcvBufs      int
	VRRPNetlinkMonitorRcvBufsForce bool
	LVSNetlinkCmdRcvBufs           int
	LVSNetlinkCmdRcvBufsForce      bool
	LVSNetlinkMonitorRcvBufs       int
	LVSNetlinkMonitorRcvBufsForce  bool
	ProcessMonitorRcvBufs          int
	ProcessMonitorRcvBufsForce     bool

	// Files, reload, dumps.
	Umask              int // -1: not given
	RandomSeed         int64
	HasRandomSeed      bool
	ReloadCheckConfig  bool
	ReloadCheckLog     string
	ReloadTimeFile     string
	ReloadRepeat       bool
	ReloadFile         string
	HasReloadFile      bool
	IncludeCheck       []string
	ConfigSaveDir      string
	TmpConfigDirectory string
	DataUseInstance    bool
	StateDumpFile      string
	StatsDumpFile      string
	JSONDumpFile       string
	JSONVersion        int
	IPRouteUsrDir      string
	IPRouteEtcDir      string

	// SNMP and D-Bus.
	SNMPSocket                string
	EnableTraps               bool
	EnableSNMPVRRP            bool
	EnableSNMPChecker         bool
	EnableSNMPRFC             bool
	EnableSNMPRFCv2           bool
	EnableSNMPRFCv3           bool
	SNMPVSStatsUpdateInterval time.Duration
	SNMPRSStatsUpdateInterval time.Duration
	EnableDBus                bool
	DBusServiceName           string
	DBusNoInterfaceName       string
}

// Process is what keepalived sets for each of its processes.
type Process struct {
	Priority     int // nice value
	NoSwap       bool
	RTPriority   int // SCHED_RR; 0: off
	CPUAffinity  []int
	RLimitRTTime time.Duration
}

// LVSSyncDaemon is lvs_sync_daemon: the kernel's IPVS connection sync.
type LVSSyncDaemon struct {
	Pos       Pos
	Interface string
	Instance  string // vrrp_instance whose role it follows; empty: both roles run
	ID        int    // -1: the VRID of the instance
	MaxLen    int    // 0: the kernel's
	Port      uint16
	TTL       uint8 // 0: the kernel's
	Group     netip.Addr
}

// LVSTimeouts are the connection timeouts of IPVS; -1 leaves one unchanged.
type LVSTimeouts struct {
	TCP    time.Duration
	TCPFin time.Duration
	UDP    time.Duration
}

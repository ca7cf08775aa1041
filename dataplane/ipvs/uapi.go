package ipvs

// Numbers of the generic netlink family IPVS (include/uapi/linux/ip_vs.h).
const (
	familyName    = "IPVS" // IPVS_GENL_NAME
	familyVersion = 1      // IPVS_GENL_VERSION
)

// Commands: IPVS_CMD_*.
const (
	cmdNewService uint8 = iota + 1
	cmdSetService
	cmdDelService
	cmdGetService
	cmdNewDest
	cmdSetDest
	cmdDelDest
	cmdGetDest
	cmdNewDaemon
	cmdDelDaemon
	cmdGetDaemon
	cmdSetConfig
	cmdGetConfig
	cmdSetInfo
	cmdGetInfo
	cmdZero
	cmdFlush
)

// Attributes of a command: IPVS_CMD_ATTR_*.
const (
	attrService uint16 = iota + 1
	attrDest
	attrDaemon
	attrTimeoutTCP
	attrTimeoutTCPFin
	attrTimeoutUDP
)

// Attributes of a service: IPVS_SVC_ATTR_*.
const (
	svcFamily   uint16 = iota + 1 // u16, AF_INET or AF_INET6
	svcProtocol                   // u16
	svcAddress                    // 16 octets, network order
	svcPort                       // be16
	svcFWMark                     // u32
	svcSched                      // string
	svcFlags                      // struct ip_vs_flags
	svcTimeout                    // u32, seconds
	svcNetmask                    // IPv4: the mask, be32; IPv6: the prefix length, u32
	svcStats                      // nested, 32 bit
	svcPEName                     // string
	svcStats64                    // nested, 64 bit
)

// Flags of a service: IP_VS_SVC_F_*.
const (
	flagPersistent uint32 = 0x01
	flagOnePacket  uint32 = 0x04
	flagSched1     uint32 = 0x08
	flagSched2     uint32 = 0x10
	flagSched3     uint32 = 0x20
	// flagsOurs are those that user space may set.
	flagsOurs = flagPersistent | flagOnePacket | flagSched1 | flagSched2 | flagSched3
)

// Attributes of a destination: IPVS_DEST_ATTR_*.
const (
	destAddress     uint16 = iota + 1 // 16 octets, network order
	destPort                          // be16
	destMethod                        // u32, IP_VS_CONN_F_FWD_MASK
	destWeight                        // u32
	destUpper                         // u32
	destLower                         // u32
	destActive                        // u32
	destInactive                      // u32
	destPersistent                    // u32
	destStats                         // nested, 32 bit
	destFamily                        // u16
	destStats64                       // nested, 64 bit
	destTunnelType                    // u8
	destTunnelPort                    // be16
	destTunnelFlags                   // u16
)

// Forwarding methods: IP_VS_CONN_F_*, the low three bits.
const (
	fwdMask   uint32 = 0x7
	fwdNAT    uint32 = 0
	fwdLocal  uint32 = 1
	fwdTunnel uint32 = 2
	fwdRoute  uint32 = 3
)

// Flags of a tunnel: IP_VS_TUNNEL_ENCAP_FLAG_*.
const (
	tunnelChecksum       uint16 = 1
	tunnelRemoteChecksum uint16 = 2
)

// Attributes of statistics: IPVS_STATS_ATTR_*; those in STATS64 are u64.
const (
	statsConnections uint16 = iota + 1
	statsPacketsIn
	statsPacketsOut
	statsBytesIn
	statsBytesOut
)

// Attributes of a sync daemon: IPVS_DAEMON_ATTR_*.
const (
	daemonState     uint16 = iota + 1 // u32, IP_VS_STATE_*
	daemonInterface                   // string
	daemonID                          // u32
	daemonMaxLen                      // u16
	daemonGroup                       // be32
	daemonGroup6                      // 16 octets
	daemonPort                        // u16, host order
	daemonTTL                         // u8
)

// States of a sync daemon: IP_VS_STATE_*.
const (
	stateMaster uint32 = 1
	stateBackup uint32 = 2
)

// Attributes of the information: IPVS_INFO_ATTR_*.
const (
	infoVersion  uint16 = iota + 1 // u32, 0x010201 is 1.2.1
	infoConnSize                   // u32, buckets
)

// The controller of generic netlink (include/uapi/linux/genetlink.h).
const (
	ctrlFamilyID   = 0x10 // GENL_ID_CTRL
	ctrlGetFamily  = 3    // CTRL_CMD_GETFAMILY
	ctrlVersion    = 2
	ctrlAttrID     = 1 // CTRL_ATTR_FAMILY_ID, u16
	ctrlAttrName   = 2 // CTRL_ATTR_FAMILY_NAME
	genlHeaderSize = 4 // GENL_HDRLEN
)

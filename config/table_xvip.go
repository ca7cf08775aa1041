package config

// tableXvip are the keywords of our own block.
var tableXvip = []row{
	{in: "xvip", word: "dataplane", args: oneOf("auto", "xdp", "ipvs", "none"), to: "Dataplane", def: "auto", status: works,
		doc: "Which kernel engine forwards; auto picks for every service the best one that can carry it"},
	{in: "xvip", word: "xdp_mode", args: oneOf("auto", "native", "generic"), to: "XDPMode", def: "auto", status: works,
		doc: "How the XDP program is attached; auto tries native mode and falls back to generic"},
	{in: "xvip", word: "xdp_interfaces", args: strs("IF"), to: "XDPInterfaces", def: "those the services need", status: works,
		doc: "Interfaces the XDP program is attached to"},
	{in: "xvip", word: "metrics_listen", args: str("ADDR:PORT|off"), to: "MetricsListen", def: "127.0.0.1:9650", status: works,
		doc: "Where Prometheus metrics are served"},
	{in: "xvip", word: "control_socket", args: str("PATH"), to: "ControlSocket", def: "/run/xvip/xvip.sock", status: works,
		doc: "Unix socket of the status and control commands"},
	{in: "xvip", word: "state_dir", args: str("PATH"), to: "StateDir", def: "/run/xvip", status: works,
		doc: "Directory of what must survive a restart"},
	{in: "xvip", word: "bpffs_dir", args: str("PATH"), to: "BPFFSDir", def: "/sys/fs/bpf/xvip", status: works,
		doc: "Directory on a bpffs where programs and maps are pinned"},
	{in: "xvip", word: "conn_table_size", args: num(1024, 1<<28), to: "ConnTableSize", def: "1048576", status: works,
		doc: "Connections that the XDP engine can remember"},
	{in: "xvip", word: "drain_time", args: secs(0, 86400), to: "DrainTime", def: "lvs_timeouts tcp (900)", status: works,
		doc: "How long connections that are not remembered stay with the real server that sh, dh or mh gave them before the set changed"},
	{in: "xvip", word: "new_connection_limit", args: custom("[ADDRESS PORT [tcp|udp|sctp]] N", 1, (*binder).newConnectionLimit), to: "NewConnectionLimit", def: "0 (none)", status: works,
		doc: "New connections a second that one service on XDP, or each without one of its own, takes; up to a second's worth may come at once. More are dropped and counted, established ones go on"},
	{in: "xvip", word: "log_level", args: oneOf("debug", "info", "warn", "error"), to: "LogLevel", def: "info", status: works,
		doc: "Least severe messages that are logged"},
}

// Package xvip only says which C object becomes which Go file.
package xvip

//go:generate go tool bpf2go -output-dir dataplane/xdp -go-package xdp -target bpfel -type service_key -type service -type service_flags -type schedule -type slot -type real -type real_flags -type load -type counters -type conn_bucket -type peer_bucket -type setting_set -type setting -type missing -type sample -type sample_turn -type way -type way_flags -type verdict -type conn_stage bpf bpf/xvip.bpf.c -- -O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -output-dir dataplane/xdp -go-package xdp -target bpfel -type feed -type shape -type rung_key -type rung_real bench bpf/bench.bpf.c -- -O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu

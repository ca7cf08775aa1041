package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/internal/script"
)

// Policies of include/uapi/linux/sched.h.
const (
	schedOther = 0
	schedRR    = 2
)

// scheduling is how the kernel runs all threads of this process but the one that
// starts scripts: those run as everything else on the host.
type scheduling struct {
	log *slog.Logger
	set config.Process // what acts; zero at first
	all unix.CPUSet    // the CPUs that the process began with
}

func newScheduling(log *slog.Logger) *scheduling {
	s := &scheduling{log: log}
	if err := unix.SchedGetaffinity(0, &s.all); err != nil {
		log.Warn("the CPUs of the process are not known", "err", err)
	}
	return s
}

// apply follows the vrrp_ settings of a process: there is one process for all,
// and the election is what must not be late.
func (s *scheduling) apply(p config.Process) {
	p.RLimitRTTime = 0 // no limit: the signal would end the daemon
	if p.Priority == s.set.Priority && p.RTPriority == s.set.RTPriority && p.NoSwap == s.set.NoSwap && slices.Equal(p.CPUAffinity, s.set.CPUAffinity) {
		return
	}
	err := s.threads(p)
	if p.NoSwap != s.set.NoSwap {
		err = errors.Join(err, lockMemory(p.NoSwap))
	}
	s.set = p
	if err != nil {
		s.log.Error("the process is not scheduled as configured", "err", err)
		return
	}
	s.log.Info("scheduling of the process", "nice", p.Priority, "rt_priority", p.RTPriority, "cpus", p.CPUAffinity, "locked", p.NoSwap)
}

// threads sets every thread; a new one inherits from the one that makes it, so
// it ends when a look finds no thread that has not been set.
func (s *scheduling) threads(p config.Process) error {
	cpus := s.all
	if len(p.CPUAffinity) > 0 {
		cpus.Zero()
		for _, n := range p.CPUAffinity {
			cpus.Set(n)
		}
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedOther, Nice: int32(p.Priority)}
	if p.RTPriority > 0 {
		attr.Policy, attr.Nice, attr.Priority = schedRR, 0, uint32(p.RTPriority)
	}
	done := map[int]bool{script.Thread(): true}
	for {
		tids, err := threads()
		if err != nil {
			return err
		}
		fresh := 0
		for _, tid := range tids {
			if done[tid] {
				continue
			}
			done[tid] = true
			fresh++
			if err := setThread(tid, &attr, &cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if fresh == 0 {
			return nil
		}
	}
}

func setThread(tid int, attr *unix.SchedAttr, cpus *unix.CPUSet) error {
	if err := unix.SchedSetAttr(tid, attr, 0); err != nil {
		return fmt.Errorf("set priority of thread %d: %w", tid, err)
	}
	if cpus.Count() == 0 {
		return nil
	}
	if err := unix.SchedSetaffinity(tid, cpus); err != nil {
		return fmt.Errorf("set CPUs of thread %d: %w", tid, err)
	}
	return nil
}

// threads lists the threads of this process.
func threads() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("list own threads: %w", err)
	}
	var tids []int
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// lockMemory keeps pages in memory once they were used: the runtime reserves
// far more address space than it ever touches.
func lockMemory(yes bool) error {
	if !yes {
		if err := unix.Munlockall(); err != nil {
			return fmt.Errorf("unlock memory: %w", err)
		}
		return nil
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/sandbox"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/platform"
)

type doctorCommand struct {
	serverData
	JSON bool `name:"json" help:"Print JSON."`
}

// finding is one line of the doctor's report. State is "ok", "warning" (the
// server runs, with less than it could have) or "failed".
type finding struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
}

const (
	stateOK      = "ok"
	stateWarning = "warning"
	stateFailed  = "failed"
)

// Bounds below which the doctor warns.
const (
	wantFiles = 8192     // each cell and each connection takes a few
	wantDisk  = 1 << 30  // bytes
	needDisk  = 64 << 20 // bytes
)

// Run says what this machine has of what a server wants. It fails when a
// server could not run.
func (d *doctorCommand) Run(ctx context.Context, streams IO) error {
	var list []finding
	server := 0 // the process id of the one that runs
	s, err := d.settings()
	if err != nil {
		list = append(list, finding{"configuration", stateFailed, err.Error()})
	} else {
		found, holder := examineData(s.Data)
		list = append(list, found...)
		list = append(list, examineQuotas(s, s.Data, asking(ctx, holder))...)
		server = holder.PID
	}
	list = append(list, examineEngine(ctx), examineFiles(), examineMemory(server))
	for _, m := range sandbox.Probe() {
		f := finding{"isolation: " + m.Name, stateOK, m.Detail}
		if !m.InForce {
			f.State = stateWarning
		}
		list = append(list, f)
	}
	failed := 0
	for _, f := range list {
		if f.State == stateFailed {
			failed++
		}
	}
	if d.JSON {
		err = printJSON(streams.Stdout, list)
	} else {
		w := tabwriter.NewWriter(streams.Stdout, 0, 0, 2, ' ', 0)
		for _, f := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.State, f.Name, strings.ReplaceAll(f.Detail, "\n", "; "))
		}
		err = w.Flush()
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d checks failed", failed, len(list))
	}
	return err
}

// asking calls the API of the server that holds the data directory; it is nil when
// none does.
func asking(ctx context.Context, holder platform.Holder) func(path string, result any) error {
	if holder.Socket == "" {
		return nil
	}
	return func(path string, result any) error {
		server, err := dial(ctx, holder.Socket, holder.Secret)
		if err != nil {
			return err
		}
		defer server.close()
		return server.call(ctx, http.MethodGet, path, nil, result)
	}
}

// examineData also says which process serves from the directory; the zero value
// for none.
func examineData(dir string) (list []finding, holder platform.Holder) {
	i, err := platform.Inspect(dir)
	if err != nil {
		return []finding{{"data directory", stateFailed, err.Error()}}, holder
	}
	data := finding{"data directory", stateOK, dir}
	switch {
	case i.Restoring:
		data.State, data.Detail = stateFailed, dir+": a restore was interrupted; empty the directory and restore again"
	case i.Lost != nil:
		data.State, data.Detail = stateFailed, dir+": "+i.Lost.Error()
	case i.InUse && i.Holder.Socket != "":
		data.Detail += fmt.Sprintf(": format %s, in use by process %d, local socket %s", i.Format, i.Holder.PID, i.Holder.Socket)
	case i.InUse:
		data.Detail += fmt.Sprintf(": format %s, in use by process %d, which is starting", i.Format, i.Holder.PID)
	case !i.Exists || i.Format == "":
		data.Detail += ": not there yet; the first start makes it"
	default:
		data.Detail += ": format " + i.Format + ", not in use"
	}
	disk := finding{"disk", stateOK, fmt.Sprintf("%d MiB free", i.Free>>20)}
	if i.Free < wantDisk {
		disk.State = stateWarning
	}
	if i.Free < needDisk {
		disk.State = stateFailed
	}
	if i.InUse {
		holder = i.Holder
	}
	return []finding{data, disk}, holder
}

// examineEngine starts the engine, if it has been fetched.
func examineEngine(ctx context.Context) finding {
	f := finding{"engine", stateOK, ""}
	path, err := workerd.Cached()
	if errors.Is(err, fs.ErrNotExist) {
		f.State, f.Detail = stateWarning, "workerd "+workerd.Version+" is not here yet; the first start downloads it"
		return f
	}
	if err == nil {
		var out []byte
		out, err = exec.CommandContext(ctx, path, "--version").Output()
		f.Detail = path + ": " + strings.TrimSpace(string(out))
	}
	if err != nil {
		f.State, f.Detail = stateFailed, strings.TrimSpace(path+" "+err.Error())
	}
	return f
}

func examineFiles() finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return finding{"open files", stateWarning, err.Error()}
	}
	f := finding{"open files", stateOK, fmt.Sprintf("at most %d", limit.Max)} // Go raises the soft limit to the hard one
	if limit.Max < wantFiles {
		f.State = stateWarning
		f.Detail += fmt.Sprintf("; many Workers and connections need %d (ulimit -n, LimitNOFILE=)", wantFiles)
	}
	return f
}

// examineMemory says what bounds the memory of cells: those of the server with
// that process id, or, when it is 0, of one that would be started from here.
func examineMemory(server int) finding {
	f := finding{"isolation: memory", stateOK, "the kernel bounds each cell in a cgroup of its own"}
	pid, watches := server, fmt.Sprintf("process %d watches", server)
	if server == 0 {
		pid, watches = os.Getpid(), "a server started from here would watch"
	}
	inForce, err := cgroup.Examine(pid)
	if err == nil && !inForce && server != 0 {
		err = errors.New("see its log for why it did not ask the kernel")
	}
	if err != nil {
		f.State, f.Detail = stateWarning, fmt.Sprintf("%s cells each second, without a bound by the kernel: %v", watches, err)
	}
	return f
}

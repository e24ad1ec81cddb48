// The engine that runs guests. Backends: hypervisor/qemu (one process per guest) and hypervisor/sim
// (none at all), each made by its factory and seen only through these two interfaces.
//
// Everything here is used from one executor, the one given to the factory; coroutines resume and
// events arrive there. A guest lives apart from these objects: dropping a Machine or the whole
// Hypervisor lets go of the guests and ends none; adopt() finds them again. A call under way keeps
// its machine's object alive.
//
// Which areas of an image a guest writes is told to the image's change track when it comes to rest:
// when an overlay is put over it, it is taken out, or the guest ends in good order. In between the
// track is open.
//
// Errors are virga::Error whose subject is the machine's id or the device's. Nothing waits for
// ever: a peer that does not answer ends in ErrorKind::timed_out naming it, one that died in
// ErrorKind::gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "base/async.h"
#include "base/file.h"
#include "hypervisor/guest/info.h"
#include "hypervisor/guest/program.h"
#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

enum class MachineState {
  ready,  // brought up by start(), and has not run yet
  running,
  paused,     // by pause(), or by the backend after a storage error
  saving,     // its memory is being written by save()
  shut_down,  // the guest powered itself off; its process is about to end
  exited,     // nothing of it runs any more; see Machine::exit()
};

// How a machine ended.
struct Exit {
  enum class Cause {
    powered_off,        // power_off()
    guest_shut_down,    // the guest powered itself off
    saved,              // save() finished
    killed,             // the process was ended by signal `code`
    failed,             // the process gave up with exit status `code`
    interrupted_start,  // found by adopt() before its guest had run, and ended
    unknown,            // it ended while nobody watched: adopt() found it dead
  };
  Cause cause = Cause::unknown;
  int code = 0;
  std::string detail;  // the last lines the process wrote, if any
};
// One sentence for logs and events: "killed by signal 9 (Killed)".
std::string describe(const Exit& exit);

struct StateChanged {
  MachineState from, to;
};
struct Exited {
  Exit exit;  // follows StateChanged{…, exited}
};
struct WasReset {
  bool by_guest;  // false: reset()
};
struct AgentChanged {
  bool connected;  // the guest opened or closed the agent's port
};
struct TrayMoved {
  int drive_key;  // a CD-ROM drive's
  bool open;      // the guest ejected its medium, or closed the tray
};
struct WatchdogExpired {};  // followed by WasReset
struct StorageFailed {
  int disk_key;
  bool out_of_space;  // true: the guest is paused until resume()
  std::string message;
};
using MachineEvent = std::variant<StateChanged, Exited, WasReset, AgentChanged, TrayMoved,
                                  WatchdogExpired, StorageFailed>;

// Percent done, 0…100, never falling.
using Progress = std::function<void(int percent)>;

enum class ShutdownMeans { guest_agent, acpi };

struct DiskCounters {
  std::uint64_t reads = 0, writes = 0, flushes = 0;
  std::uint64_t read_bytes = 0, written_bytes = 0;
  std::chrono::nanoseconds read_time{}, write_time{}, flush_time{};
};
struct NicCounters {
  std::uint64_t received_bytes = 0, received_packets = 0;  // as the guest sees it
  std::uint64_t sent_bytes = 0, sent_packets = 0;
};
// All since the machine started.
struct Counters {
  std::chrono::nanoseconds cpu_time{};              // everything its process used
  std::vector<std::chrono::nanoseconds> vcpu_time;  // by vCPU; empty where not known
  std::uint64_t resident_bytes = 0;                 // host memory it holds now
  std::map<int, DiskCounters> disks;                // by key: disks and CD-ROMs
  std::map<int, NicCounters> nics;                  // by key: NICs on a tap
};

// What Machine::snapshot() does.
struct SnapshotRequest {
  std::map<int, std::string> overlays;       // by a disk's key: an image without content, a qcow2
  std::map<int, std::string> change_tracks;  // of overlays, as DiskImage has them; none: left out
  std::optional<std::string> memory;         // a new file, as save() writes it
  Progress progress;                         // of the memory
};

// What merge() does: in a chain … into, a, b, top … it leaves … into …, which then holds what a, b
// and top held. Images by their paths.
struct MergeRequest {
  int disk_key = 0;
  std::string into;
  std::string top;
  std::string into_name;  // as the image above `top`, if there is one, is to name `into`
  // Of `into`, from the moment the guest writes it, where it wrote `top`; it has taken in what all
  // of them had when `top` was opened.
  std::string change_track;
  Progress progress;
  std::stop_token stop;  // ErrorKind::cancelled, and the chain is what it was
  // Where `top` is what the guest writes: awaited while the guest stands still, the chain changed
  // and nothing written to it yet. Whoever keeps account of the chain must have noted the change
  // before it returns, for from then on `top` grows stale. When it throws, the guest stays paused.
  std::function<Async<void>()> commit;
};

class Machine {
 public:
  using Observer = std::function<void(const MachineEvent&)>;

  virtual ~Machine() = default;

  virtual const std::string& id() const = 0;
  // As it is now: hot operations are reflected.
  virtual const MachineSpec& spec() const = 0;
  virtual MachineState state() const = 0;
  // Set once state() is exited.
  virtual const std::optional<Exit>& exit() const = 0;
  // True between AgentChanged{true} and AgentChanged{false}.
  virtual bool agent_connected() const = 0;
  // Events from now on, and first those nobody has heard yet. Called from the executor, never from
  // inside another call of this class; it may drop the Machine.
  virtual void on_event(Observer observer) = 0;

  // Ends the machine at once, as pulling the plug would; returns when nothing of it runs. Allowed
  // in every state.
  virtual Async<void> power_off() = 0;
  // `fresh`: by the keys of disks that discard their changes, overlays without content in place of
  // the last images, which are no longer used when this returns; the guest then runs. What a
  // former daemon began of this, adopt() finishes.
  virtual Async<void> reset(std::map<int, std::string> fresh = std::map<int, std::string>()) = 0;
  virtual Async<void> pause() = 0;
  // Lets a machine that is ready or paused run.
  virtual Async<void> resume() = 0;
  // Suspends: stops the guest, writes its memory and devices to a new file, ends the machine (Exit
  // cause `saved`). The file has its name only once it is complete and on stable storage; until
  // then it is unfinished_state(path). When saving fails the guest runs on (or stays paused) and
  // nothing of the file is left.
  virtual Async<void> save(std::string path, Progress progress) = 0;

  // Puts the overlays over what the disks write to, all at the same instant: what is below is only
  // read from then on. With memory, the guest's memory and devices of that instant are written too;
  // it goes on meanwhile where the host allows that (userfaultfd), else thereafter. When the memory
  // fails its file is gone, and the overlays may be in place nevertheless: spec() tells.
  virtual Async<void> snapshot(SnapshotRequest request) = 0;
  // While the guest writes on. When it fails or is cancelled, the chain is what it was.
  virtual Async<void> merge(MergeRequest request) = 0;
  // Makes the guest's agent flush and hold all writes to its file systems, and let them go. Both
  // need the agent: ErrorKind::invalid_state without one, unsupported or io when it cannot.
  // A machine that is adopted is thawed.
  virtual Async<void> freeze_guest(std::chrono::steady_clock::duration timeout) = 0;
  virtual Async<void> thaw_guest() = 0;

  // Asks the guest to shut down: its agent if one answers, else the power button. Returns when the
  // request is delivered; the end is an event.
  virtual Async<ShutdownMeans> shutdown_guest() = 0;
  // Needs the agent: ErrorKind::invalid_state without one.
  virtual Async<void> reboot_guest() = 0;
  // Never fails because of the guest: without an answering agent, agent_running is false.
  virtual Async<GuestInfo> guest_info() = 0;
  // Has the agent start a program; its number in the guest. ErrorKind::invalid_state without an
  // agent, unsupported where the agent may not, io when the program does not start.
  virtual Async<std::int64_t> start_guest_program(GuestProgram program) = 0;
  // That it has ended, the agent tells once. ErrorKind::not_found when it knows of no such program
  // (any more).
  virtual Async<GuestProgramState> guest_program_state(std::int64_t pid) = 0;

  // Hot operations. The guest takes part in some removals: ErrorKind::timed_out when it does not
  // let go. ErrorKind::unsupported where the emulated bus cannot (disks on AHCI and IDE).
  virtual Async<void> add_controller(Controller controller) = 0;
  virtual Async<void> remove_controller(int key) = 0;
  virtual Async<void> add_disk(Disk disk) = 0;
  virtual Async<void> remove_disk(int key) = 0;
  // Grows the image and tells the guest.
  virtual Async<void> resize_disk(int key, std::uint64_t bytes) = 0;
  // Reads and writes a second; 0: no limit. One of more than 32 KiB counts as several.
  virtual Async<void> limit_disk(int key, std::uint64_t iops) = 0;
  // What a disk may do for now, within its limit; 0: as its limit has it. Counted as the limit
  // where it has one, else each read and write as one. Not part of spec(): gone when the machine is
  // adopted.
  virtual Async<void> budget_disk(int key, std::uint64_t iops) = 0;
  // `tap`: an open descriptor of the tap device nic.tap names; empty when nic.tap is.
  virtual Async<void> add_nic(Nic nic, Fd tap) = 0;
  virtual Async<void> remove_nic(int key) = 0;
  virtual Async<void> set_link(int key, bool up) = 0;
  // Puts another medium into a CD-ROM or floppy drive, or none: also when the guest has locked the
  // tray.
  virtual Async<void> change_medium(int drive_key, std::optional<std::string> path) = 0;
  // Up to spec().max_vcpus and max_memory_mib; none of either can go again. When it fails, spec()
  // tells how many processors came. MiB; guests take memory in blocks of 128 MiB and more.
  virtual Async<void> add_vcpus(int count) = 0;
  virtual Async<void> add_memory(std::uint64_t mib) = 0;
  virtual Async<void> add_usb_device(UsbDevice device) = 0;
  virtual Async<void> remove_usb_device(int key) = 0;

  // A connected stream that speaks RFB (VNC), without authentication: guard it. Any number.
  virtual Async<Fd> open_display() = 0;
  // A connected stream to a serial port with the socket backend, or on the network with security.
  // One client at a time is served; a
  // second one waits, connected, until the first closes.
  virtual Async<Fd> open_serial(int key) = 0;
  // Where the copy of what a socket-backed port said is kept; see SerialPort::log_path.
  virtual std::string serial_log(int key) const = 0;
  // The screen as a PNG file's bytes.
  virtual Async<std::string> screenshot() = 0;

  virtual Async<Counters> counters() = 0;

  // A pidfd of the process that is the guest; empty when there is none, or none any more.
  virtual Fd process() const = 0;
};

struct StartOptions {
  std::optional<std::string> restore_from;  // a file save() wrote; the guest goes on from there
  Progress progress;                        // of the restore; may be empty
  std::map<int, Fd> taps;                   // open tap descriptors by NIC key
  std::map<int, Fd> streams;                // of serial ports with that backend, by key
  std::vector<Fd> held;  // kept open, untouched, as long as the guest lives: locks on its files
};

struct Capabilities {
  std::string backend;             // "qemu", "sim"
  std::string version;             // the backend's own: "7.2.22"
  std::string accelerator;         // "kvm", "tcg", "sim"
  std::string accelerator_reason;  // why not KVM, in one sentence; empty with KVM
  std::string machine_type;        // "pc-i440fx-7.2"
  int max_vcpus = 1;
  std::uint64_t max_memory_mib = 0;
};

class Hypervisor {
 public:
  // Waits for the blocking part of calls under way, and its machines answer no more.
  virtual ~Hypervisor() = default;

  virtual Async<Capabilities> capabilities() = 0;
  // Returns when the machine is ready: resume() lets its guest begin, or go on from the saved
  // state, which is not used up before; a saved state decides what of the machine's memory are
  // DIMMs, and what it can grow to. Fails with nothing left behind.
  virtual Async<std::shared_ptr<Machine>> start(MachineSpec spec, StartOptions options) = 0;
  // Every machine this backend's run directory has a record of and this object does not hold: those
  // alive, taken up again, and those that died unwatched, as exited. One the former daemon did not
  // get to run is ready, or, where bringing it up was not complete, ended as interrupted_start. A
  // save that was not complete is undone, and the guest runs on; one that was has Exit cause
  // `saved`.
  virtual Async<std::vector<std::shared_ptr<Machine>>> adopt() = 0;
  // Machine::merge() for images that no machine has open, or only reads: `chain` is those up to the
  // last one to be merged, the base first; those from `into` on become that one. A kill of this
  // process ends it, with nothing lost.
  virtual Async<void> merge_unused(std::vector<DiskImage> chain, std::size_t into,
                                   Progress progress, std::stop_token stop) = 0;
};

}  // namespace virga::hypervisor

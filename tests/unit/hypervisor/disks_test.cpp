// Chains of images under a real QEMU. What lies in them is written beforehand by qemu-io, since the
// boot sector writes nothing.
#include <fcntl.h>
#include <gmock/gmock.h>

#include "../expect_error.h"
#include "base/error.h"
#include "base/process.h"
#include "hypervisor/qemu/command_line.h"
#include "hypervisor/qemu/launcher.h"
#include "hypervisor/qemu/qmp.h"
#include "lab.h"

namespace virga::hypervisor {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t megabyte = 1 << 20;

struct Disks : ::testing::Test {
  Lab lab;
  std::unique_ptr<Hypervisor> hypervisor = lab.hypervisor();
  // Image 0 begins with the boot sector. Each holds its number's letter in the megabyte of its
  // number and in the last one.
  std::vector<DiskImage> chain;

  void make_chain(int images) {
    for (int n = 0; n < images; ++n) {
      add_image();
      write(n, n, static_cast<char>('A' + n));
      write(n, 15, static_cast<char>('A' + n));
    }
  }

  std::string add_image() {
    if (chain.empty()) {
      chain.push_back({lab.make_image("base.img", 16 * megabyte)});
      return chain.back().path;
    }
    const auto number = chain.size();
    const std::string path = lab.path("delta" + std::to_string(number));
    run_checked({"qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F",
                 number == 1 ? "raw" : "qcow2", "-b", fs::path(chain.back().path).filename(), path,
                 "16M"});
    chain.push_back({path, DiskFormat::qcow2});
    return path;
  }

  void write(int image, int at, char letter) {
    const DiskImage& file = chain[static_cast<std::size_t>(image)];
    const std::string offset = at == 0 ? "512" : std::to_string(at) + "M";
    run_checked({"qemu-io", "-f", file.format == DiskFormat::raw ? "raw" : "qcow2", "-c",
                 fmt::format("write -P {} {} 65536", int{letter}, offset), file.path});
  }

  // What a guest would read at the beginning of these megabytes.
  std::string read(const DiskImage& image, const std::vector<int>& megabytes) {
    const std::string raw = lab.path("content");
    run_checked({"qemu-img", "convert", "-U", "-f",
                 image.format == DiskFormat::raw ? "raw" : "qcow2", "-O", "raw", image.path, raw});
    std::string letters;
    const Fd file = open_file(raw, O_RDONLY);
    for (const int at : megabytes) {
      char letter = 0;
      EXPECT_EQ(::pread(file.get(), &letter, 1, at == 0 ? 512 : at * off_t{megabyte}), 1);
      letters += letter == 0 ? '.' : letter;
    }
    return letters;
  }

  std::string backing_of(const DiskImage& image) {
    return run_checked({"qemu-img", "info", "-U", image.path});
  }

  MachineSpec spec() {
    MachineSpec spec = lab.spec();
    spec.disks[0].chain = chain;
    return spec;
  }

  std::shared_ptr<Machine> start(MachineSpec spec) {
    const auto machine = lab.run(hypervisor->start(std::move(spec), {}));
    lab.run(machine->resume());
    return machine;
  }
  std::shared_ptr<Machine> start() { return start(spec()); }
};

TEST_F(Disks, BootFromAChain) {
  make_chain(3);
  const auto machine = start();
  SerialLine line(lab, *machine);
  EXPECT_EQ(line.ask('n'), '0');
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  lab.run(machine->power_off());
}

TEST_F(Disks, AreAllGivenAnOverlayAtOnce) {
  make_chain(1);
  MachineSpec two = spec();
  two.disks.push_back({.key = 2001,
                       .controller_key = 1000,
                       .unit = 1,
                       .chain = {{lab.make_image("second.img", megabyte)}}});
  const auto machine = start(two);
  SerialLine line(lab, *machine);
  EXPECT_EQ(line.ask('n'), '0');
  const std::string second = lab.path("second.delta");
  run_checked({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "second.img", second});
  lab.run(machine->snapshot({.overlays = {{2000, add_image()}, {2001, second}}}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  EXPECT_EQ(find_disk(machine->spec(), 2001).chain.size(), 2u);
  EXPECT_EQ(line.ask('n'), '1');
  lab.run(machine->snapshot({.overlays = {{2000, add_image()}}}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  // Disks on a chain come and go as others do.
  lab.run(machine->remove_disk(2001));
  lab.run(machine->power_off());
}

TEST_F(Disks, StayAsTheyAreWhenOneOverlayIsMissing) {
  make_chain(1);
  const auto machine = start();
  const Error missing = failure_of([&] {
    lab.run(machine->snapshot({.overlays = {{2000, lab.path("nowhere")}}}));
  });
  EXPECT_EQ(missing.kind(), ErrorKind::not_found);
  write_file_atomically(lab.path("torn"), "this is no image", 0600);
  EXPECT_THROW(lab.run(machine->snapshot({.overlays = {{2000, lab.path("torn")}}})), Error);
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  lab.run(machine->snapshot({.overlays = {{2000, add_image()}}}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  lab.run(machine->power_off());
}

TEST_F(Disks, AreMergedInTheMiddle) {
  make_chain(4);
  const auto machine = start();
  std::vector<int> progress;
  lab.run(machine->merge({.disk_key = 2000,
                          .into = chain[1].path,
                          .top = chain[2].path,
                          .into_name = "delta1",
                          .progress = [&](int percent) { progress.push_back(percent); }}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain,
            (std::vector<DiskImage>{chain[0], chain[1], chain[3]}));
  EXPECT_EQ(progress.back(), 100);
  EXPECT_THAT(backing_of(chain[3]), HasSubstr("backing file: delta1 "));
  EXPECT_EQ(read(chain[1], {0, 1, 2, 3, 15}), "ABC.C");
  EXPECT_EQ(read(chain[3], {0, 1, 2, 3, 15}), "ABCDD");
  lab.run(machine->power_off());
}

TEST_F(Disks, AreMergedUpToTheOneTheGuestWrites) {
  make_chain(3);
  const auto machine = start();
  SerialLine line(lab, *machine);
  Ear ear(lab, machine);
  bool committed = false;
  const auto commit = [&]() -> Async<void> {
    committed = true;
    EXPECT_EQ(machine->state(), MachineState::paused);
    co_return;
  };
  lab.run(machine->merge(
      {.disk_key = 2000, .into = chain[0].path, .top = chain[2].path, .commit = commit}));
  EXPECT_TRUE(committed);
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, std::vector<DiskImage>{chain[0]});
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);  // its start
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::paused);
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);
  EXPECT_EQ(line.ask('n'), '0');
  EXPECT_EQ(read(chain[0], {0, 1, 2, 15}), "ABCC");
  chain.resize(1);
  lab.run(machine->snapshot({.overlays = {{2000, add_image()}}}));  // and so on
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  lab.run(machine->power_off());
}

TEST_F(Disks, ArePausedWhenTheirMergeCannotBeNoted) {
  make_chain(2);
  const auto machine = start();
  const auto commit = []() -> Async<void> {
    throw error(ErrorKind::no_space, "x.vmx", "no space for x.vmx");
    co_return;
  };
  const Error failure = failure_of([&] {
    lab.run(machine->merge(
        {.disk_key = 2000, .into = chain[0].path, .top = chain[1].path, .commit = commit}));
  });
  EXPECT_EQ(failure.subject(), "x.vmx");
  EXPECT_EQ(machine->state(), MachineState::paused);
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, std::vector<DiskImage>{chain[0]});
  lab.run(machine->resume());
  lab.run(machine->power_off());
}

TEST_F(Disks, KeepTheirChainWhenAMergeIsCancelled) {
  make_chain(3);
  const auto machine = start();
  std::stop_source stop;
  stop.request_stop();
  const Error cancelled = failure_of([&] {
    lab.run(machine->merge(
        {.disk_key = 2000, .into = chain[0].path, .top = chain[2].path, .stop = stop.get_token()}));
  });
  EXPECT_EQ(cancelled.kind(), ErrorKind::cancelled);
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  EXPECT_EQ(read(chain[2], {0, 1, 2, 15}), "ABCC");
  lab.run(machine->merge({.disk_key = 2000, .into = chain[0].path, .top = chain[2].path}));
  lab.run(machine->power_off());
}

TEST_F(Disks, NameAnImageTheyDoNotConsistOf) {
  make_chain(2);
  const auto machine = start();
  const Error unknown = failure_of([&] {
    lab.run(machine->merge({.disk_key = 2000, .into = "/elsewhere", .top = chain[1].path}));
  });
  EXPECT_EQ(unknown.kind(), ErrorKind::not_found);
  EXPECT_THAT(unknown.what(), HasSubstr("/elsewhere"));
  EXPECT_EQ(
      failure_of([&] {
        lab.run(machine->merge({.disk_key = 2000, .into = chain[1].path, .top = chain[0].path}));
      }).kind(),
      ErrorKind::invalid_argument);
  lab.run(machine->power_off());
}

// ---- In the formats of VMware's hosted products

struct VmwareDisks : Disks, ::testing::WithParamInterface<const char*> {
  // Image 0 in that format, made by QEMU.
  void make_base() {
    make_chain(1);
    const std::string name = GetParam(), path = lab.path("base.vmdk");
    run_checked({"qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + name,
                 chain[0].path, path});
    const std::string extent = name == "twoGbMaxExtentFlat"     ? lab.path("base-f001.vmdk")
                               : name == "twoGbMaxExtentSparse" ? lab.path("base-s001.vmdk")
                                                                : path;
    const bool sparse = name != "twoGbMaxExtentFlat";
    chain[0] = {path, DiskFormat::vmdk, {{extent, 16 * megabyte / 512, sparse, 0}}};
  }
  std::string read_base(const std::vector<int>& megabytes) {
    const std::string raw = lab.path("flattened");
    run_checked({"qemu-img", "convert", "-f", "vmdk", "-O", "raw", chain[0].path, raw});
    return read({raw}, megabytes);
  }
};

TEST_P(VmwareDisks, AreBootedFromOverlaidAndMerged) {
  make_base();
  const auto machine = start();
  SerialLine line(lab, *machine);
  EXPECT_EQ(line.ask('n'), '0');
  const std::string overlay = lab.path("delta");
  run_checked({"qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", "vmdk", "-b", "base.vmdk",
               overlay, "16M"});
  chain.push_back({overlay, DiskFormat::qcow2});
  lab.run(machine->snapshot({.overlays = {{2000, overlay}}}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  lab.run(machine->merge({.disk_key = 2000, .into = chain[0].path, .top = overlay}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, std::vector<DiskImage>{chain[0]});
  EXPECT_EQ(failure_of([&] { lab.run(machine->resize_disk(2000, 32 * megabyte)); }).kind(),
            ErrorKind::unsupported);
  lab.run(machine->power_off());

  write(1, 1, 'B');
  lab.run(hypervisor->merge_unused(chain, 0, {}, {}));
  EXPECT_EQ(read_base({0, 1, 15}), "ABA");
}

TEST_P(VmwareDisks, ComeAndGoWhileTheGuestRuns) {
  make_base();
  const auto machine = start(lab.spec());
  Disk added{.key = 2001, .controller_key = 1000, .unit = 1, .chain = chain};
  for (int i = 0; i < 2; ++i) {
    lab.run(machine->add_disk(added));
    lab.run(machine->remove_disk(2001));
  }
  lab.run(machine->power_off());
}

INSTANTIATE_TEST_SUITE_P(Formats, VmwareDisks,
                         ::testing::Values("monolithicSparse", "twoGbMaxExtentSparse",
                                           "twoGbMaxExtentFlat"),
                         [](const auto& param) { return std::string(param.param); });

// QEMU takes what is no sparse extent for a descriptor, and would open what that names.
TEST_F(Disks, ThatClaimToBeSparseAreRefused) {
  const std::string trap = lab.path("trap.vmdk");
  write_file_atomically(trap,
                        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                        "createType=\"monolithicFlat\"\nRW 2 FLAT \"/etc/passwd\" 0\n" +
                            std::string(512, '#'));
  chain = {{trap, DiskFormat::vmdk, {{trap, 2, true, 0}}}};
  const Error refused = failure_of([&] { start(); });
  EXPECT_EQ(refused.kind(), ErrorKind::damaged);
  EXPECT_EQ(refused.subject(), trap);
  EXPECT_TRUE(lab.is_gone("guest"));
}

// ---- Changes that are discarded

TEST_F(Disks, ForgetTheirChangesInAReset) {
  make_chain(2);
  MachineSpec volatile_disk = spec();
  volatile_disk.disks[0].discards_changes = true;
  const auto machine = start(volatile_disk);
  EXPECT_EQ(SerialLine(lab, *machine).ask('n'), '0');
  const DiskImage old = chain[1];
  chain.pop_back();
  fs::rename(old.path, lab.path("old"));
  lab.run(machine->reset({{2000, add_image()}}));
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  EXPECT_EQ(machine->state(), MachineState::running);
  EXPECT_EQ(SerialLine(lab, *machine, 2).ask('n'), '0');
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write 0 512", lab.path("old")});  // nobody has it
  EXPECT_THROW(write(1, 1, 'X'), Error);
  lab.run(machine->power_off());
  EXPECT_EQ(read(chain[1], {0, 1, 15}), "A.A");
}

TEST_F(Disks, ThatKeepTheirChangesAreNotReplaced) {
  make_chain(2);
  const auto machine = start();
  const Error refused = failure_of([&] {
    lab.run(machine->reset({{2000, lab.path("elsewhere")}}));
  });
  EXPECT_EQ(refused.kind(), ErrorKind::invalid_argument);
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  lab.run(machine->power_off());
}

TEST_F(Disks, GoOnWithTheirChangesWhenThereIsNoFreshOverlay) {
  make_chain(2);
  MachineSpec volatile_disk = spec();
  volatile_disk.disks[0].discards_changes = true;
  const auto machine = start(volatile_disk);
  EXPECT_EQ(failure_of([&] {
              lab.run(machine->reset({{2000, lab.path("missing")}}));
            }).kind(),
            ErrorKind::not_found);
  EXPECT_EQ(find_disk(machine->spec(), 2000).chain, chain);
  EXPECT_EQ(machine->state(), MachineState::running);
  EXPECT_EQ(SerialLine(lab, *machine).ask('n'), '0');
  lab.run(machine->power_off());
}

// ---- Limits

// The limits QEMU holds the disks to, by their ids; nobody else may be connected to it.
std::map<std::string, int> limits_in_force(Lab& lab) {
  const auto qmp = std::make_shared<Qmp>(lab.io.get_executor(), "guest", 5s);
  lab.run(qmp->open(connect_unix(qmp_socket(lab.path("run/guest")))));
  const json::value devices = lab.run(qmp->execute("query-block"));
  std::map<std::string, int> limits;
  for (const json::value& device : devices.as_array())
    if (const json::value* inserted = device.as_object().if_contains("inserted"))
      limits[std::string(device.at("qdev").as_string())] = inserted->at("iops").to_number<int>();
  qmp->close();
  return limits;
}

TEST_F(Disks, AreLimitedFromTheStartAndAnew) {
  make_chain(2);
  MachineSpec limited = spec();
  limited.disks[0].iops_limit = 100;
  auto machine = start(limited);
  const Disk added{.key = 2001,
                   .controller_key = 1000,
                   .unit = 1,
                   .chain = {{lab.make_image("second.img", megabyte)}},
                   .iops_limit = 50};
  lab.run(machine->add_disk(added));
  machine.reset();
  hypervisor.reset();
  EXPECT_EQ(limits_in_force(lab),
            (std::map<std::string, int>{{"disk-2000", 100}, {"disk-2001", 50}}));

  hypervisor = lab.hypervisor();
  machine = lab.run(hypervisor->adopt()).at(0);
  lab.run(machine->limit_disk(2000, 0));
  lab.run(machine->limit_disk(2001, 70));
  EXPECT_EQ(find_disk(machine->spec(), 2001).iops_limit, 70u);
  machine.reset();
  hypervisor.reset();
  EXPECT_EQ(limits_in_force(lab),
            (std::map<std::string, int>{{"disk-2000", 0}, {"disk-2001", 70}}));
}

TEST_F(Disks, KeepABudgetWithinTheirLimitAsLongAsSomebodyWatches) {
  make_chain(1);
  MachineSpec limited = spec();
  limited.disks.push_back({.key = 2001,
                           .controller_key = 1000,
                           .unit = 1,
                           .chain = {{lab.make_image("second.img", megabyte)}},
                           .iops_limit = 50});
  auto machine = start(limited);
  lab.run(machine->budget_disk(2000, 30));
  lab.run(machine->budget_disk(2001, 80));
  lab.run(machine->limit_disk(2001, 0));
  lab.run(machine->limit_disk(2001, 100));
  EXPECT_EQ(find_disk(machine->spec(), 2000).iops_limit, 0u);
  machine.reset();
  hypervisor.reset();
  EXPECT_EQ(limits_in_force(lab),
            (std::map<std::string, int>{{"disk-2000", 30}, {"disk-2001", 80}}));

  hypervisor = lab.hypervisor();
  machine = lab.run(hypervisor->adopt()).at(0);
  lab.run(machine->budget_disk(2001, 120));
  machine.reset();
  hypervisor.reset();
  EXPECT_EQ(limits_in_force(lab),
            (std::map<std::string, int>{{"disk-2000", 0}, {"disk-2001", 100}}));
}

TEST_F(Disks, AreMergedWithoutAGuest) {
  make_chain(4);
  std::vector<int> progress;
  std::vector<DiskImage> lower(chain.begin(), chain.begin() + 3);
  lab.run(
      hypervisor->merge_unused(lower, 0, [&](int percent) { progress.push_back(percent); }, {}));
  EXPECT_EQ(progress.back(), 100);
  EXPECT_EQ(read(chain[0], {0, 1, 2, 3, 15}), "ABC.C");
  EXPECT_TRUE(fs::is_empty(lab.path("run")));
}

TEST_F(Disks, AreNotMergedWhileAGuestHasThemOpen) {
  make_chain(2);
  const auto machine = start();
  EXPECT_THROW(lab.run(hypervisor->merge_unused(chain, 0, {}, {})), Error);
  EXPECT_EQ(read(chain[0], {0, 1, 15}), "A.A");
  lab.run(machine->power_off());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(
      failure_of([&] { lab.run(hypervisor->merge_unused(chain, 0, {}, stop.get_token())); }).kind(),
      ErrorKind::cancelled);
  EXPECT_EQ(read(chain[1], {0, 1, 15}), "ABB");
}

}  // namespace
}  // namespace virga::hypervisor

// Chains of images under a real QEMU. What lies in them is written beforehand by qemu-io, since the
// boot sector writes nothing.
#include <fcntl.h>
#include <gmock/gmock.h>

#include "../expect_error.h"
#include "base/error.h"
#include "base/process.h"
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

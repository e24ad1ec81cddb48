#include "lab.h"

#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/process.h"
#include "hypervisor/qemu/machine_record.h"

namespace virga::hypervisor {

std::string guest_user() {
  if (::geteuid() != 0) return "";
  static const std::string user = "virga-guest";
  if (!::getpwnam(user.c_str()))
    run_checked({"useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user});
  return user;
}

std::string boot_sector() {
  static const unsigned char code[] = {
      0xfa,                                // cli
      0x31, 0xc0,                          // xor ax,ax
      0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,  // mov ds,ax; mov es,ax; mov ss,ax
      0xbc, 0x00, 0x7c,                    // mov sp,0x7c00
      0xea, 0x11, 0x7c, 0x00, 0x00,        // jmp 0:main
      0xb3, '0',                           // main: mov bl,'0'
      0xb0, 'b',                           // mov al,'b'
      0xe8, 0x37, 0x00,                    // call put
      0xba, 0xfd, 0x03,                    // next: mov dx,0x3fd
      0xec,                                // in al,dx
      0xa8, 0x01,                          // test al,1
      0x74, 0x12,                          // jz idle
      0xba, 0xf8, 0x03,                    // mov dx,0x3f8
      0xec,                                // in al,dx
      0x3c, 'n',  0x74, 0x0f,              // cmp al,'n'; je count
      0x3c, 'p',  0x74, 0x14,              // cmp al,'p'; je poweroff
      0x3c, 'r',  0x74, 0x19,              // cmp al,'r'; je reset
      0xeb, 0xe6,                          // jmp next
      0xfb, 0xf4, 0xfa,                    // idle: sti; hlt; cli
      0xeb, 0xe1,                          // jmp next
      0x88, 0xd8,                          // count: mov al,bl
      0xe8, 0x13, 0x00,                    // call put
      0xfe, 0xc3,                          // inc bl
      0xeb, 0xd8,                          // jmp next
      0xba, 0x04, 0x06,                    // poweroff: mov dx,0x604
      0xb8, 0x00, 0x20,                    // mov ax,0x2000
      0xef,                                // out dx,ax
      0xeb, 0xcf,                          // jmp next
      0xb0, 0xfe,                          // reset: mov al,0xfe
      0xe6, 0x64,                          // out 0x64,al
      0xeb, 0xc9,                          // jmp next
      0x88, 0xc4,                          // put: mov ah,al
      0xba, 0xfd, 0x03,                    // wait: mov dx,0x3fd
      0xec,                                // in al,dx
      0xa8, 0x20,                          // test al,0x20
      0x74, 0xf8,                          // jz wait
      0xba, 0xf8, 0x03,                    // mov dx,0x3f8
      0x88, 0xe0,                          // mov al,ah
      0xee,                                // out dx,al
      0xc3,                                // ret
  };
  std::string sector(reinterpret_cast<const char*>(code), sizeof code);
  sector.resize(510);
  return sector + "\x55\xaa";
}

Lab::Lab() {
  std::string pattern = "/tmp/virga-hyp-XXXXXX";
  directory = ::mkdtemp(pattern.data());
}

Lab::~Lab() {
  // A test that failed half-way must not leave a guest behind.
  if (fs::exists(path("run"))) {
    for (const auto& entry : fs::directory_iterator(path("run"))) {
      try {
        const MachineRecord record = read_record(entry.path());
        if (open_process(record.process)) ::kill(record.process.pid, SIGKILL);
      } catch (const Error&) {
      }
    }
  }
  std::error_code ignored;
  fs::remove_all(directory, ignored);
}

void Lab::run_until(const bool& done) {
  io.restart();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!done) {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it hangs");
    io.run_one_for(100ms);
    if (io.stopped()) io.restart();
  }
}

void Lab::run(Async<void> work) {
  std::exception_ptr failure;
  bool done = false;
  asio::co_spawn(io, std::move(work), [&](std::exception_ptr e) {
    failure = e;
    done = true;
  });
  run_until(done);
  if (failure) std::rethrow_exception(failure);
}

QemuOptions Lab::options() const {
  QemuOptions options;
  options.run_directory = path("run");
  options.user = guest_user();
  options.option_roms = path("roms");
  options.allow_kvm = false;
  options.tcg_cache_mib = 16;
  options.removal_timeout = 3s;
  options.quit_timeout = 2s;
  return options;
}

std::string Lab::make_image(const std::string& name, std::uint64_t bytes) {
  const std::string image = path(name);
  write_file_atomically(image, boot_sector(), 0600);
  fs::resize_file(image, bytes);
  return image;
}

MachineSpec Lab::spec(const std::string& id) {
  MachineSpec spec;
  spec.id = id;
  spec.name = id;
  spec.bios_uuid = "564d1d3a-0000-4000-8000-000000000001";
  spec.memory_mib = 16;
  spec.controllers = {{.key = 200, .model = ControllerModel::ide, .bus = 0},
                      {.key = 1000, .model = ControllerModel::pvscsi, .bus = 0}};
  spec.disks = {
      {.key = 2000, .controller_key = 1000, .unit = 0, .chain = {{make_image(id + ".img")}}}};
  spec.cdroms = {{.key = 3000, .controller_key = 200, .unit = 0}};
  spec.serial_ports = {{.key = 9000, .backend = LineBackend::socket}};
  return spec;
}

bool Lab::is_gone(const std::string& id) const {
  return !fs::exists(path("run/" + id));
}

Ear::Ear(Lab& lab, std::shared_ptr<Machine> machine) : lab_(lab), heard_(lab.io.get_executor()) {
  machine->on_event([this](const MachineEvent& event) {
    events_.push_back(event);
    heard_.notify();
  });
}

Async<void> await_text(std::string path, std::string text, int times) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const std::string content = read_file(path);
    int found = 0;
    for (auto at = content.find(text); at != std::string::npos; at = content.find(text, at + 1))
      ++found;
    if (found >= times) co_return;
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error(path + " says only: " + content);
    co_await sleep_for(10ms);
  }
}

SerialLine::SerialLine(Lab& lab, Machine& machine, int boots) {
  const int key = machine.spec().serial_ports.front().key;
  lab.run(await_text(machine.serial_log(key), "b", boots));
  fd_ = lab.run(machine.open_serial(key));
  const timeval limit{.tv_sec = std::chrono::seconds(patience).count(), .tv_usec = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

void SerialLine::send(char c) {
  write_all(fd_.get(), std::string_view(&c, 1), "serial line");
}

char SerialLine::receive() {
  char c = 0;
  if (::read(fd_.get(), &c, 1) != 1) throw std::runtime_error("the serial line is silent");
  return c;
}

pid_t process_of(Lab& lab, const std::string& id) {
  return read_record(lab.path("run/" + id)).process.pid;
}

}  // namespace virga::hypervisor

#include "hypervisor/qemu/offline_merge.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/uuid.h"
#include "hypervisor/qemu/block_job.h"
#include "hypervisor/qemu/command_line.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/launcher.h"

namespace virga::hypervisor {
namespace {

constexpr int disk_key = 2000;             // any will do: there is one disk
constexpr const char* job_id = "Merging";  // errors say "Merging of FILE …"

struct Helper {
  // `subject`: what errors name.
  Helper(std::shared_ptr<QemuContext> shared, std::string subject)
      : context(std::move(shared)),
        name(std::move(subject)),
        directory(context->options.run_directory + "/" + make_uuid()),
        qmp(std::make_shared<Qmp>(context->executor, name, context->options.reply_timeout)),
        job_changed(context->executor),
        ended(context->executor) {}

  std::shared_ptr<QemuContext> context;
  std::string name;
  std::string directory;  // without a record in it: a daemon that starts removes it
  std::shared_ptr<Qmp> qmp;
  std::shared_ptr<ProcessWatch> process;
  bool running = true;
  Signal job_changed;
  Signal ended;
};

struct Started {
  Fd process;  // a pidfd
  Fd monitor;
};

// Blocks.
Started launch_helper(const QemuOptions& options, const std::string& directory, const Disk& disk) {
  fs::create_directories(directory);
  fs::permissions(directory, fs::perms::owner_all);
  std::vector<Fd> files;
  LaunchRequest request;
  request.ends_with_parent = true;
  const auto inherit = [&](Fd file) {
    const int number = first_inherited + static_cast<int>(files.size());
    files.push_back(std::move(file));
    request.descriptors.emplace_back(files.back().get(), number);
    return number;
  };
  Started started;
  OfflineFiles numbers;
  numbers.monitor = inherit(connect_pair(started.monitor));
  if (const std::string secret = login_secret(disk); !secret.empty())
    numbers.secret = inherit(make_secret(secret));
  for (std::size_t image = 0; image < disk.chain.size(); ++image) {
    for (const ImageFile& file : image_files(disk, static_cast<int>(image), disk.chain[image]))
      numbers.images.emplace_back(file.set, inherit(open_image_file(file)));
  }
  request.argv = offline_command_line(options.program, disk, numbers);
  if (!options.user.empty()) request.account = find_account(options.user, false);
  const Fd output = open_file(output_log(directory), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  request.output = output.get();
  started.process = launch(request, [](const ProcessIdentity&) {}).process;
  return started;
}

Async<void> start(std::shared_ptr<Helper> helper, Disk disk) {
  const auto launch = [options = helper->context->options, directory = helper->directory, disk] {
    return launch_helper(options, directory, disk);
  };
  Started started = co_await offload(helper->context->pool, launch);
  helper->process =
      std::make_shared<ProcessWatch>(helper->context->executor, std::move(started.process));
  helper->process->start([helper](std::optional<ProcessEnd>) {
    helper->running = false;
    helper->ended.notify();
  });
  helper->qmp->on_event([weak = std::weak_ptr(helper)](const json::object& event) {
    const auto self = weak.lock();
    if (self && event.at("event") == "JOB_STATUS_CHANGE") self->job_changed.notify();
  });
  co_await helper->qmp->open(std::move(started.monitor));
}

Async<void> stop(std::shared_ptr<Helper> helper) {
  if (helper->process && helper->running) {
    if (helper->qmp->is_open()) helper->qmp->post("quit");
    co_await helper->ended.wait(helper->context->options.quit_timeout);
    if (helper->running) helper->process->kill();
    while (helper->running) co_await helper->ended.wait();
  }
  helper->qmp->on_event({});
  helper->qmp->close();
  std::error_code ignored;
  fs::remove_all(helper->directory, ignored);
}

}  // namespace

std::vector<std::string> offline_command_line(const std::string& program, const Disk& disk,
                                              const OfflineFiles& files) {
  std::vector<std::string> argv = sandboxed_command(program);
  const auto add = [&argv](std::string option, std::string value) {
    argv.push_back(std::move(option));
    argv.push_back(std::move(value));
  };
  add("-machine", "none");
  add("-display", "none");
  add("-chardev", fmt::format("socket,id=qmp,fd={}", files.monitor));
  add("-mon", "chardev=qmp,mode=control");
  if (files.secret) {
    const std::string secret = fmt::format("/dev/fd/{}", *files.secret);
    add("-object", json::serialize(secret_object(disk, secret)));
  }
  for (const auto& [set, number] : files.images)
    add("-add-fd", fmt::format("fd={},set={}", number, set));
  for (const ImageNodes& nodes : disk_nodes(disk))
    for (const auto& node : nodes) add("-blockdev", json::serialize(node));
  return argv;
}

Async<void> merge_offline(std::shared_ptr<QemuContext> context, std::vector<DiskImage> chain,
                          std::size_t into, Progress progress, std::stop_token stop_token) {
  const int top = static_cast<int>(chain.size()) - 1;
  Disk disk{.key = disk_key, .chain = std::move(chain)};
  const auto helper = std::make_shared<Helper>(std::move(context), disk.chain.at(into).path);
  const BlockJob job(*helper->qmp, helper->job_changed, job_id, helper->name);
  std::exception_ptr failure;
  try {
    co_await start(helper, std::move(disk));
    json::object arguments =
        fields("job-id", job_id, "device", format_node(disk_key, top), "base-node",
               format_node(disk_key, static_cast<int>(into)), "auto-dismiss", false);
    co_await helper->qmp->execute("block-commit", std::move(arguments));
    co_await job.await(BlockJob::Stage::ready, std::move(progress), stop_token);
    co_await helper->qmp->execute("job-complete", fields("id", job_id));
    co_await job.await(BlockJob::Stage::concluded, nullptr, std::stop_token());
  } catch (...) {
    failure = std::current_exception();
  }
  const std::string words = failure ? read_output_tail(helper->directory) : std::string();
  co_await stop(helper);
  if (!failure) co_return;
  if (!words.empty())
    throw error(ErrorKind::io, helper->name, "nothing could be merged into {}: {}", helper->name,
                words);
  std::rethrow_exception(failure);
}

}  // namespace virga::hypervisor

#include "hypervisor/qemu/qmp.h"

#include "base/error.h"
#include "base/log.h"

namespace virga::hypervisor {
namespace {

constexpr std::size_t line_limit = 16 << 20;

Error refusal(const std::string& machine, const std::string& command, const json::object& reply) {
  const auto& failure = reply.at("error").as_object();
  const std::string words(failure.at("desc").as_string());
  const auto& name = failure.at("class").as_string();
  ErrorKind kind = ErrorKind::io;
  if (name == "DeviceNotFound") kind = ErrorKind::not_found;
  if (name == "CommandNotFound") kind = ErrorKind::unsupported;
  if (words.find("No space left on device") != std::string::npos) kind = ErrorKind::no_space;
  return error(kind, machine, "QEMU of {} refused {}: {}", machine, command, words);
}

std::string version_of(const json::object& greeting) {
  const auto& version = greeting.at("QMP").at("version").at("qemu");
  return fmt::format("{}.{}.{}", version.at("major").as_int64(), version.at("minor").as_int64(),
                     version.at("micro").as_int64());
}

}  // namespace

Qmp::Qmp(asio::any_io_executor executor, std::string machine, Duration reply_timeout)
    : executor_(executor),
      machine_(std::move(machine)),
      reply_timeout_(reply_timeout),
      socket_(executor, "QEMU of " + machine_, line_limit),
      sending_(executor),
      closed_(executor) {}

Async<void> Qmp::open(Fd connection) {
  socket_.take(std::move(connection));
  const std::string greeting = co_await socket_.receive(reply_timeout_);
  try {
    version_ = version_of(json::parse(greeting).as_object());
  } catch (const std::exception& e) {
    socket_.close();
    throw error(ErrorKind::damaged, machine_, "QEMU of {} greeted with nonsense: {}", machine_,
                e.what());
  }
  reading_ = true;
  spawn(executor_, "QMP reader", read(shared_from_this()));
  co_await execute("qmp_capabilities");
}

Async<json::value> Qmp::execute(std::string command, json::object arguments, int fd) {
  const auto self = shared_from_this();
  if (!is_open())
    throw error(ErrorKind::gone, machine_, "QEMU of {} is gone and cannot do {}", machine_,
                command);
  const std::int64_t id = ++last_id_;
  json::object request = {{"execute", command}, {"id", id}};
  if (!arguments.empty()) request["arguments"] = std::move(arguments);
  const std::string text = json::serialize(request) + "\n";
  auto pending = std::make_shared<Pending>(executor_);
  pending_[id] = pending;
  {
    auto guard = co_await sending_.lock();
    co_await socket_.send(text, fd);
  }
  if (!pending->finished) co_await pending->done.wait(reply_timeout_);
  pending_.erase(id);
  if (!pending->finished)
    throw error(ErrorKind::timed_out, machine_, "QEMU of {} did not answer {} within {} s",
                machine_, command,
                std::chrono::duration_cast<std::chrono::seconds>(reply_timeout_).count());
  if (!pending->reply)
    throw error(ErrorKind::gone, machine_, "QEMU of {} ended before it answered {}", machine_,
                command);
  if (pending->reply->contains("error")) throw refusal(machine_, command, *pending->reply);
  co_return std::move(pending->reply->at("return"));
}

void Qmp::post(const std::string& command) {
  asio::co_spawn(executor_, execute(command), [](std::exception_ptr, const json::value&) {});
}

Async<void> Qmp::read(std::shared_ptr<Qmp> self) {
  try {
    for (;;) {
      const std::string line = co_await self->socket_.receive(Duration::max());
      self->dispatch(json::parse(line).as_object());
    }
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::gone) logger("hypervisor")->error("{}", e.what());
  } catch (const std::exception& e) {
    logger("hypervisor")->error("QEMU of {} sent nonsense: {}", self->machine_, e.what());
  }
  self->socket_.close();
  self->reading_ = false;
  self->abandon_all();
  self->closed_.notify();
}

Async<bool> Qmp::wait_closed(Duration timeout) {
  const auto self = shared_from_this();
  if (reading_) co_await closed_.wait(timeout);
  co_return !reading_;
}

void Qmp::dispatch(json::object message) {
  if (message.contains("event")) {
    if (handler_) handler_(message);
    return;
  }
  const json::value* id = message.if_contains("id");
  if (!id || !id->is_int64()) return;
  const auto found = pending_.find(id->as_int64());
  if (found == pending_.end()) return;  // it was given up
  found->second->reply = std::move(message);
  found->second->finished = true;
  found->second->done.notify();
}

void Qmp::abandon_all() {
  for (const auto& [id, pending] : pending_) {
    pending->finished = true;
    pending->done.notify();
  }
}

}  // namespace virga::hypervisor

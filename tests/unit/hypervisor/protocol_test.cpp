// QMP and the guest agent against peers that behave, misbehave and fall silent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include "../expect_error.h"
#include "base/error.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/guest_agent.h"
#include "hypervisor/qemu/launcher.h"
#include "hypervisor/qemu/qmp.h"
#include "lab.h"

namespace virga::hypervisor {
namespace {

using ::testing::HasSubstr;
using Unix = asio::local::stream_protocol;

// A server for one client after the other that answers each line through `answer`; an answer of
// nothing is silence.
class Peer {
 public:
  using Answer = std::function<std::string(const json::object& request)>;

  Peer(Lab& lab, std::string greeting, Answer answer)
      : path(lab.path("peer.sock")),
        greeting_(std::move(greeting)),
        answer_(std::move(answer)),
        acceptor_(lab.io, Unix::endpoint(path)),
        client_(lab.io) {
    spawn(lab.io.get_executor(), "peer", serve());
  }
  void hang_up() { client_.close(); }
  Async<void> say(std::string text) {
    co_await asio::async_write(client_, asio::buffer(text), asio::use_awaitable);
  }

  const std::string path;
  std::vector<std::string> heard;

 private:
  Async<void> serve() {
    for (;;) {
      client_ = co_await acceptor_.async_accept(asio::use_awaitable);
      try {
        co_await say(greeting_);
        co_await converse();
      } catch (const std::exception&) {
        // The client left; the next may come.
      }
    }
  }
  Async<void> converse() {
    std::string buffer;
    for (;;) {
      const auto size = co_await asio::async_read_until(client_, asio::dynamic_buffer(buffer), '\n',
                                                        asio::use_awaitable);
      std::string line = buffer.substr(0, size);
      buffer.erase(0, size);
      if (line.front() == '\xff') line.erase(0, 1);
      const json::object request = json::parse(line).as_object();
      heard.emplace_back(request.at("execute").as_string());
      const std::string reply = answer_(request);
      if (!reply.empty()) co_await say(reply);
    }
  }

  std::string greeting_;
  Answer answer_;
  Unix::acceptor acceptor_;
  Unix::socket client_;
};

// ---- QMP

const char* greeting =
    R"({"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":[]}})"
    "\n";

std::string reply_to(const json::object& request, json::object reply) {
  reply["id"] = request.at("id");
  return json::serialize(reply) + "\n";
}

std::string agree(const json::object& request) {
  return reply_to(request, fields("return", json::object()));
}

struct QmpTest : ::testing::Test {
  Lab lab;
  std::shared_ptr<Qmp> qmp = std::make_shared<Qmp>(lab.io.get_executor(), "web01", 200ms);
};

TEST_F(QmpTest, NegotiatesAndReturnsWhatQemuSays) {
  Peer peer(lab, greeting, [](const json::object& request) {
    return reply_to(request, fields("return", fields("asked", request.at("execute"))));
  });
  lab.run(qmp->open(connect_unix(peer.path)));
  EXPECT_EQ(qmp->version(), "7.2.22");
  EXPECT_EQ(lab.run(qmp->execute("query-status")).at("asked"), "query-status");
  EXPECT_EQ(peer.heard.front(), "qmp_capabilities");
}

TEST_F(QmpTest, MatchesAnswersThatComeOutOfOrder) {
  std::string held;
  Peer peer(lab, greeting, [&](const json::object& request) {
    const std::string reply =
        reply_to(request, fields("return", fields("asked", request.at("execute"))));
    if (request.at("execute") == "first") {
      held = reply;
      return std::string();
    }
    return reply + std::exchange(held, "");
  });
  lab.run(qmp->open(connect_unix(peer.path)));
  json::value first;
  asio::co_spawn(lab.io, qmp->execute("first"),
                 [&](std::exception_ptr, json::value reply) { first = std::move(reply); });
  EXPECT_EQ(lab.run(qmp->execute("second")).at("asked"), "second");
  while (first.is_null()) lab.io.run_one_for(patience);
  EXPECT_EQ(first.at("asked"), "first");
}

TEST_F(QmpTest, NamesTheCommandQemuRefused) {
  Peer peer(lab, greeting, [](const json::object& request) {
    if (request.at("execute") == "qmp_capabilities") return agree(request);
    return reply_to(request, fields("error", fields("class", "DeviceNotFound", "desc", "no cd0")));
  });
  lab.run(qmp->open(connect_unix(peer.path)));
  const Error refused = failure_of([&] { lab.run(qmp->execute("eject")); });
  EXPECT_EQ(refused.kind(), ErrorKind::not_found);
  EXPECT_EQ(refused.subject(), "web01");
  EXPECT_STREQ(refused.what(), "QEMU of web01 refused eject: no cd0");
}

TEST_F(QmpTest, GivesUpOnSilenceAndGoesOn) {
  Peer peer(lab, greeting, [](const json::object& request) {
    return request.at("execute") == "stop" ? std::string() : agree(request);
  });
  lab.run(qmp->open(connect_unix(peer.path)));
  const Error silent = failure_of([&] { lab.run(qmp->execute("stop")); });
  EXPECT_EQ(silent.kind(), ErrorKind::timed_out);
  EXPECT_THAT(silent.what(), HasSubstr("stop"));
  EXPECT_NO_THROW(lab.run(qmp->execute("cont")));
}

TEST_F(QmpTest, TellsThatQemuEnded) {
  Peer peer(lab, greeting, [&](const json::object& request) {
    if (request.at("execute") == "qmp_capabilities") return agree(request);
    peer.hang_up();
    return std::string();
  });
  lab.run(qmp->open(connect_unix(peer.path)));
  const Error gone = failure_of([&] { lab.run(qmp->execute("quit")); });
  EXPECT_EQ(gone.kind(), ErrorKind::gone);
  EXPECT_THAT(gone.what(), HasSubstr("quit"));
  EXPECT_TRUE(lab.run(qmp->wait_closed(patience)));
  EXPECT_EQ(failure_of([&] { lab.run(qmp->execute("cont")); }).kind(), ErrorKind::gone);
}

TEST_F(QmpTest, DeliversEventsInOrder) {
  Peer peer(lab, greeting, [](const json::object& request) {
    if (request.at("execute") == "qmp_capabilities") return agree(request);
    return R"({"event":"STOP"})"
           "\n"
           R"({"event":"RESUME"})"
           "\n" +
           agree(request);
  });
  std::string seen;
  qmp->on_event([&](const json::object& event) { seen += event.at("event").as_string(); });
  lab.run(qmp->open(connect_unix(peer.path)));
  lab.run(qmp->execute("reset"));
  EXPECT_EQ(seen, "STOPRESUME");
}

TEST_F(QmpTest, ClosesOnNonsense) {
  Peer peer(lab, greeting, [](const json::object& request) {
    return request.at("execute") == "qmp_capabilities" ? agree(request) : "}{\n";
  });
  lab.run(qmp->open(connect_unix(peer.path)));
  EXPECT_EQ(failure_of([&] { lab.run(qmp->execute("stop")); }).kind(), ErrorKind::gone);
}

// ---- The guest agent

std::string returned(json::value value) {
  return json::serialize(fields("return", std::move(value))) + "\n";
}

std::string synchronized(const json::object& request) {
  return "\xff" + returned(request.at("arguments").at("id"));
}

bool is(const json::object& request, const char* command) {
  return request.at("execute") == command;
}

struct AgentTest : ::testing::Test {
  Lab lab;
  GuestAgent agent{lab.io.get_executor(), "web01", lab.path("peer.sock"), 200ms};
};

TEST_F(AgentTest, TellsAboutItsGuest) {
  Peer peer(lab, "", [](const json::object& request) -> std::string {
    if (is(request, "guest-sync-delimited")) return synchronized(request);
    if (is(request, "guest-info")) return returned(fields("version", "7.2.0"));
    if (is(request, "guest-get-host-name")) return returned(fields("host-name", "web01.lan"));
    if (is(request, "guest-network-get-interfaces"))
      return returned(json::parse(R"([{"name":"eth0","hardware-address":"00:50:56:AA:00:01",
          "ip-addresses":[{"ip-address":"10.0.0.5","prefix":24,"ip-address-type":"ipv4"}]}])"));
    if (is(request, "guest-get-fsinfo"))
      return returned(json::parse(
          R"([{"mountpoint":"/","type":"ext4","total-bytes":1000,"used-bytes":400,"disk":[]}])"));
    return R"({"error":{"class":"CommandNotFound","desc":"unknown"}})"
           "\n";
  });
  const GuestInfo info = lab.run(agent.info());
  EXPECT_TRUE(info.agent_running);
  EXPECT_EQ(info.agent_version, "7.2.0");
  EXPECT_EQ(info.host_name, "web01.lan");
  EXPECT_EQ(info.os.id, "");  // this agent does not know
  ASSERT_EQ(info.nics.size(), 1u);
  EXPECT_EQ(info.nics[0].mac, "00:50:56:aa:00:01");
  EXPECT_EQ(info.nics[0].addresses.at(0).ip, "10.0.0.5");
  EXPECT_EQ(info.nics[0].addresses.at(0).prefix, 24);
  EXPECT_EQ(info.filesystems.at(0).used_bytes, 400u);
}

TEST_F(AgentTest, IsNotFooledByWhatIsLeftOfAnOlderConversation) {
  Peer peer(lab, "{\"return\":\"stale\"}\nhalf a li", [](const json::object& request) {
    if (is(request, "guest-sync-delimited")) return "\n\xff" + returned(-1) + synchronized(request);
    return returned("fresh");
  });
  EXPECT_EQ(lab.run(agent.execute("guest-ping")), "fresh");
}

TEST_F(AgentTest, IsReportedSilent) {
  Peer peer(lab, "", [](const json::object&) { return std::string(); });
  EXPECT_EQ(failure_of([&] { lab.run(agent.execute("guest-ping")); }).kind(), ErrorKind::timed_out);
  EXPECT_FALSE(lab.run(agent.info()).agent_running);
}

TEST_F(AgentTest, IsReportedAbsent) {
  EXPECT_EQ(failure_of([&] { lab.run(agent.execute("guest-ping")); }).kind(), ErrorKind::gone);
}

TEST_F(AgentTest, CannotFloodUs) {
  Peer peer(lab, "", [](const json::object&) { return std::string(5 << 20, 'x'); });
  EXPECT_EQ(failure_of([&] { lab.run(agent.execute("guest-ping")); }).kind(), ErrorKind::damaged);
}

TEST_F(AgentTest, RunsAProgram) {
  Peer peer(lab, "", [](const json::object& request) -> std::string {
    if (is(request, "guest-sync-delimited")) return synchronized(request);
    const json::object& arguments = request.at("arguments").as_object();
    if (is(request, "guest-exec"))
      return returned(fields("pid", arguments.at("input-data") == "aGVsbG8=" ? 42 : 0));
    if (arguments.at("pid") != 42)
      return R"({"error":{"class":"GenericError","desc":"Invalid parameter 'pid'"}})"
             "\n";
    return returned(
        json::parse(R"({"exited":true,"exitcode":3,"out-data":"b3V0","err-data":"ZXJy"})"));
  });
  EXPECT_EQ(lab.run(agent.start({.path = "/bin/cat", .input = "hello"})), 42);
  const GuestProgramState state = lab.run(agent.state(42));
  EXPECT_TRUE(state.ended);
  EXPECT_EQ(state.exit_code, 3);
  EXPECT_EQ(state.output, "out");
  EXPECT_EQ(state.errors, "err");
  EXPECT_EQ(failure_of([&] { lab.run(agent.state(43)); }).kind(), ErrorKind::not_found);
}

TEST(ParseProgramState, TellsASignalAndRefusesNonsense) {
  EXPECT_EQ(parse_program_state(json::parse(R"({"exited":true,"signal":9})"), "web01").exit_code,
            137);
  for (const char* reply : {"null", "{}", R"({"exited":1})", R"({"exited":true,"out-data":"?"})"})
    EXPECT_EQ(failure_of([&] { parse_program_state(json::parse(reply), "web01"); }).kind(),
              ErrorKind::damaged)
        << reply;
}

TEST_F(AgentTest, AcceptsAnOrderBySilenceOrByGoingOn) {
  bool goes_on = true;
  Peer peer(lab, "", [&](const json::object& request) -> std::string {
    if (is(request, "guest-sync-delimited")) return synchronized(request);
    if (is(request, "guest-ping") && goes_on) return returned(json::object());
    return {};
  });
  EXPECT_NO_THROW(lab.run(agent.tell("guest-shutdown", fields("mode", "powerdown"))));
  goes_on = false;
  EXPECT_NO_THROW(lab.run(agent.tell("guest-shutdown", fields("mode", "powerdown"))));
}

TEST_F(AgentTest, RefusesAnOrderInItsOwnWords) {
  Peer peer(lab, "", [](const json::object& request) -> std::string {
    if (is(request, "guest-sync-delimited")) return synchronized(request);
    if (is(request, "guest-shutdown"))
      return R"({"error":{"class":"GenericError","desc":"no /sbin/shutdown"}})"
             "\n";
    return returned(json::object());
  });
  EXPECT_THAT(
      failure_of([&] { lab.run(agent.tell("guest-shutdown", fields("mode", "halt"))); }).what(),
      HasSubstr("no /sbin/shutdown"));
}

TEST(ParseGuestInfo, TakesNothingOfAWrongType) {
  const json::value odd = json::parse(R"({"version":7,"host-name":["a"],"id":null})");
  const json::value list = json::parse(
      R"([7,null,{"name":3,"ip-addresses":{"a":1}},{"hardware-address":"AA","ip-addresses":[1]}])");
  const GuestInfo info = parse_guest_info(odd, odd, odd, list, list);
  EXPECT_EQ(info.agent_version, "");
  EXPECT_EQ(info.host_name, "");
  EXPECT_EQ(info.nics.size(), 4u);
  EXPECT_EQ(info.nics[3].mac, "aa");
  EXPECT_EQ(info.filesystems.size(), 4u);
  EXPECT_TRUE(parse_guest_info(nullptr, 1, "x", nullptr, false).nics.empty());
}

TEST(ParseGuestInfo, BoundsWhatTheGuestMayClaim) {
  json::array many(10000, json::object{{"name", std::string(5000, 'x')}});
  const GuestInfo info = parse_guest_info(nullptr, nullptr, nullptr, many, nullptr);
  EXPECT_EQ(info.nics.size(), 256u);
  EXPECT_EQ(info.nics[0].name.size(), 1024u);
}

TEST(ParseGuestInfo, CutsNoCharacterInTwo) {
  const json::value name = json::object{{"host-name", std::string(1023, 'x') + "\u20ac"}};
  EXPECT_EQ(parse_guest_info(nullptr, name, nullptr, nullptr, nullptr).host_name,
            std::string(1023, 'x'));
}

}  // namespace
}  // namespace virga::hypervisor

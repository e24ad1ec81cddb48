#include "wire/http_server.h"

#include <fcntl.h>
#include <malloc.h>
#include <openssl/ssl.h>

#include <future>

#include "server_fixture.h"
#include "temporary_folder.h"
#include "wire/compression.h"
#include "wire/message_parser.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Async<Response> hello(Request&) {
  co_return respond(200, "text/plain", "hello");
}

// What arrived, as text.
Async<Response> echo(Request& request) {
  co_return respond(200, "text/plain", request.method + " " + request.path + " " + request.body);
}

// Reads the body as a stream and answers its size, and whether it is the pattern.
Async<Response> measure(Request& request) {
  std::vector<char> buffer(64 << 10);
  std::uint64_t size = 0;
  bool sound = true;
  while (const std::size_t got = co_await request.stream->read(buffer)) {
    for (std::size_t i = 0; i < got; ++i) sound &= buffer[i] == pattern_at(size + i);
    size += got;
  }
  co_return respond(200, "text/plain", fmt::format("{} {}", size, sound ? "sound" : "wrong"));
}

ClientRequest request(std::string method, std::string target, std::string body = {}) {
  ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  return request;
}

class HttpServerTest : public ServerTest {
 protected:
  // What a server says to `text` before it closes.
  std::string answer_to(std::string_view text) {
    RawClient client(port());
    client.send(text);
    return client.receive_all();
  }
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  serve("/echo", echo);
  RawClient client(port());
  for (const char* body : {"one", "three"}) {
    client.send(
        fmt::format("POST /echo/x%20y?q HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}",
                    std::string_view(body).size(), body));
    const std::string response = client.receive_response();
    EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(response, EndsWith(fmt::format("POST /echo/x y {}", body)));
    EXPECT_THAT(response, Not(HasSubstr("Connection:")));
  }
  EXPECT_EQ(server().statistics().connections_accepted, 1u);
  EXPECT_EQ(server().statistics().requests, 2u);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInTheirOrder) {
  serve("/echo", echo);
  RawClient client(port());
  std::string all;
  for (int i = 0; i < 50; ++i)
    all += fmt::format("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{:03}\r\n", i);
  client.send(all);
  for (int i = 0; i < 50; ++i)
    EXPECT_THAT(client.receive_response(), EndsWith(fmt::format("POST /echo {:03}", i)));
}

TEST_F(HttpServerTest, ClosesWhenTheClientSaysSo) {
  serve("/", hello);
  const std::string response = answer_to("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(response, AllOf(HasSubstr("\r\nConnection: close\r\n"), EndsWith("hello")));
  EXPECT_THAT(answer_to("GET / HTTP/1.0\r\n\r\n"), EndsWith("hello"));
}

TEST_F(HttpServerTest, KeepsAnHttp10ConnectionThatAsks) {
  serve("/", hello);
  RawClient client(port());
  for (int i = 0; i < 2; ++i) {
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_THAT(client.receive_response(),
                AllOf(HasSubstr("Connection: keep-alive"), EndsWith("hello")));
  }
}

TEST_F(HttpServerTest, TheLongestPrefixWinsAtWholeSegments) {
  const auto named = [](std::string name) {
    return [name](Request& request) -> Async<Response> {
      co_return respond(200, "text/plain", name + " of " + request.route);
    };
  };
  serve("/sdk", named("short"));
  serve("/sdk/vim25", named("long"));
  EXPECT_EQ(get("/sdk"), "short of /sdk");
  EXPECT_EQ(get("/sdk/x"), "short of /sdk");
  EXPECT_EQ(get("/sdk/vim25/7.0"), "long of /sdk/vim25");
  EXPECT_EQ(fetch(request("GET", "/sdkx")).status, 404);
  EXPECT_EQ(fetch(request("GET", "/")).status, 404);
}

TEST_F(HttpServerTest, AMethodWithoutRouteIsNotAllowed) {
  server().route("/only", {"POST", "GET"}, hello);
  const ClientResponse response = fetch(request("DELETE", "/only"));
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.get("Allow"), "POST, GET, HEAD");
}

TEST_F(HttpServerTest, HeadHasTheHeadOfGetAndNoBody) {
  serve("/", hello);
  RawClient client(port());
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.receive_until("\r\n\r\n"), HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(client.receive_response(), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("hello")));
}

TEST_F(HttpServerTest, RefusesMalformedRequests) {
  serve("/", hello);
  const auto with = [](std::string_view field) {
    return fmt::format("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", field);
  };
  EXPECT_THAT(answer_to("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to("GET / HTTP/2.0\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400"));  // no Host
  EXPECT_THAT(answer_to(with("Host: b")), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(with("no colon")), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(with("Content-Length: x")), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(with("Content-Length: 1\r\nContent-Length: 2")),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(with("Content-Length: 3\r\nTransfer-Encoding: chunked")),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(with("Transfer-Encoding: gzip")), StartsWith("HTTP/1.1 501"));
  EXPECT_THAT(answer_to(with("Transfer-Encoding: gzip, chunked")), StartsWith("HTTP/1.1 501"));
  EXPECT_THAT(answer_to(with("Content-Encoding: br")), StartsWith("HTTP/1.1 415"));
  EXPECT_THAT(answer_to(with("Expect: wonders")), StartsWith("HTTP/1.1 417"));
  EXPECT_THAT(answer_to(with("Transfer-Encoding: chunked") + "zz\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(HttpServerTest, HoldsItsLimitsOnHeads) {
  options().max_header_bytes = 4000;
  options().max_header_fields = 10;
  options().max_target_bytes = 1000;
  serve("/", hello);
  const std::string long_text(5000, 'x');
  EXPECT_THAT(answer_to("GET /" + std::string(1000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n"),
              StartsWith("HTTP/1.1 414"));
  EXPECT_THAT(answer_to("GET /" + long_text), StartsWith("HTTP/1.1 414"));
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: a\r\nX: " + long_text + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: a\r\nX: " + long_text),
              StartsWith("HTTP/1.1 431"));
  std::string fields;
  for (int i = 0; i < 10; ++i) fields += fmt::format("X{}: y\r\n", i);
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(answer_to("GET / HTTP/1.0\r\n" + fields + "\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, HoldsItsLimitsOnBodies) {
  serve("/small", echo, {.max_body = 10});
  serve("/stream", measure, {.max_body = 10, .stream_body = true});
  for (const std::string path : {"/small", "/stream"}) {
    EXPECT_EQ(fetch(request("POST", path, std::string(10, 'x'))).status, 200) << path;
    EXPECT_EQ(fetch(request("POST", path, std::string(11, 'x'))).status, 413) << path;
    ClientRequest chunked = request("POST", path);
    chunked.stream = std::make_shared<PatternSource>(11);
    EXPECT_EQ(fetch(chunked).status, 413) << path;
  }
}

TEST_F(HttpServerTest, ARefusedUploadHearsWhy) {
  serve("/", echo, {.max_body = 10});
  ClientRequest upload = request("PUT", "/");
  upload.stream = std::make_shared<PatternSource>(100 << 20);
  upload.stream_length = 100 << 20;
  const ClientResponse response = fetch(upload);
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.body, "the body is larger than 10 bytes\n");
}

TEST_F(HttpServerTest, SaysContinueOnlyToARequestItTakes) {
  serve("/take", echo, {.max_body = 10});
  RawClient client(port());
  client.send("PUT /take HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  EXPECT_THAT(client.receive_response(), EndsWith("PUT /take body"));
  EXPECT_THAT(
      answer_to(
          "PUT /take HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"),
      StartsWith("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, TakesAnUploadOfAnySizeInConstantMemory) {
  // What the program holds on its heap, server and client together, at its highest.
  std::size_t highest = 0;
  serve("/",
        [&](Request& upload) -> Async<Response> {
          std::vector<char> buffer(64 << 10);
          std::uint64_t size = 0;
          while (const std::size_t got = co_await upload.stream->read(buffer)) {
            size += got;
            highest = std::max(highest, ::mallinfo2().uordblks);
          }
          co_return respond(200, "text/plain", std::to_string(size));
        },
        {.stream_body = true});
  constexpr std::uint64_t kSize = 64 << 20;
  const std::size_t before = ::mallinfo2().uordblks;
  for (const bool chunked : {true, false}) {
    ClientRequest upload = request("PUT", "/");
    upload.stream = std::make_shared<PatternSource>(kSize);
    if (!chunked) upload.stream_length = kSize;
    EXPECT_EQ(fetch(upload).body, std::to_string(kSize));
  }
  EXPECT_LT(highest, before + (4 << 20));
}

TEST_F(HttpServerTest, AnUploadArrivesAsItWasSent) {
  serve("/", measure, {.stream_body = true});
  for (const std::size_t size : {0, 1, 65536, 1'000'001}) {
    ClientRequest upload = request("PUT", "/");
    upload.stream = std::make_shared<PatternSource>(size, 7'777);
    EXPECT_EQ(fetch(upload).body, fmt::format("{} sound", size));
    ClientRequest compressed = request("PUT", "/", gzip(pattern(size), 1));
    compressed.headers.add("Content-Encoding", "gzip");
    EXPECT_EQ(fetch(compressed).body, fmt::format("{} sound", size));
  }
}

TEST_F(HttpServerTest, TakesChunksOfAnyCut) {
  serve("/", echo);
  RawClient client(port());
  for (const std::string_view piece :
       {"POST / HT", "TP/1.1\r\nHost: a\r\nTransfer-Enc", "oding: chunked\r\n\r", "\n5;ext=1\r",
        "\nhe", "llo\r\n", "1\r\n \r\nA\r\n0123", "456789\r\n0\r\nTrailer: x\r\n", "\r\n"})
    client.send(piece);
  EXPECT_THAT(client.receive_response(), EndsWith("POST / hello 0123456789"));
}

TEST(MessageParser, TakesALastChunkInPieces) {
  MessageParser<true> parser(HeadLimits{});
  const std::string_view head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  ASSERT_EQ(parser.parse_head(head), head.size());
  char buffer[8];
  std::span<char> rest(buffer);
  EXPECT_EQ(parser.parse_body("0\r\n", rest), 0u);
  EXPECT_EQ(parser.parse_body("0\r\n\r", rest), 0u);
  EXPECT_EQ(parser.parse_body("0\r\n\r\n", rest), 5u);
  EXPECT_TRUE(parser.is_done());
}

TEST_F(HttpServerTest, CompressesForClientsThatAccept) {
  const std::string large(100'000, 'x');
  serve("/text", [&](Request&) -> Async<Response> { co_return respond(200, "text/xml", large); });
  serve("/image", [&](Request&) -> Async<Response> { co_return respond(200, "image/png", large); });
  serve("/small", hello);
  const auto encoding_of = [&](const char* target, const char* accepted) {
    ClientRequest asked = request("GET", target);
    asked.headers.add("Accept-Encoding", accepted);
    const ClientResponse response = fetch(asked);
    EXPECT_EQ(response.body.size(), std::string_view(target) == "/small" ? 5 : large.size());
    return std::string(response.headers.get("Content-Encoding"));
  };
  EXPECT_EQ(encoding_of("/text", "gzip, deflate"), "gzip");
  EXPECT_EQ(encoding_of("/text", "br;q=1.0, *;q=0.1"), "gzip");
  EXPECT_EQ(encoding_of("/text", "gzip;q=0"), "");
  EXPECT_EQ(encoding_of("/text", "identity"), "");
  EXPECT_EQ(encoding_of("/image", "gzip"), "");
  EXPECT_EQ(encoding_of("/small", "gzip"), "");
}

TEST_F(HttpServerTest, TakesCompressedBodiesWithinTheLimit) {
  serve("/", echo, {.max_body = 1000});
  const auto status_of_body = [&](const std::string& body, const char* coding) {
    ClientRequest sent = request("POST", "/", body);
    sent.headers.add("Content-Encoding", coding);
    return fetch(sent);
  };
  EXPECT_EQ(status_of_body(gzip("hello", 6), "gzip").body, "POST / hello");
  EXPECT_EQ(status_of_body(gzip(std::string(1000, 'x'), 6), "x-gzip").status, 200);
  EXPECT_EQ(status_of_body(gzip(std::string(10 << 20, 'x'), 9).substr(0, 900), "gzip").status, 413);
  EXPECT_EQ(status_of_body("not compressed", "gzip").status, 400);
  EXPECT_EQ(status_of_body(gzip("hello", 6) + "more", "gzip").status, 400);
  const std::string whole = gzip(pattern(500), 6);
  EXPECT_EQ(status_of_body(whole.substr(0, whole.size() / 2), "gzip").status, 400);
}

TEST_F(HttpServerTest, StreamsAnswersOfUnknownLength) {
  serve("/", [](Request&) -> Async<Response> {
    Response response;
    response.stream = std::make_shared<PatternSource>(1'000'000, 12'345);
    co_return response;
  });
  const ClientResponse response = fetch(request("GET", "/"));
  EXPECT_EQ(response.headers.get("Transfer-Encoding"), "chunked");
  EXPECT_TRUE(response.body == pattern(1'000'000));
  const std::string old = answer_to("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old, Not(HasSubstr("chunked")));
  EXPECT_TRUE(old.substr(old.find("\r\n\r\n") + 4) == pattern(1'000'000));
}

TEST_F(HttpServerTest, AnAnswerThatEndsEarlyIsSeenToBeCut) {
  serve("/", [](Request&) -> Async<Response> {
    Response response;
    response.stream = std::make_shared<PatternSource>(100);
    response.stream_length = 200;
    co_return response;
  });
  EXPECT_THROW(get("/"), Error);
}

TEST_F(HttpServerTest, ServesFilesAndTheirParts) {
  const TemporaryFolder folder;
  const std::string content = pattern(3'000'000);
  write_file_atomically(folder / "disk", content);
  serve("/disk", [&](Request& asked) -> Async<Response> {
    auto file = std::make_shared<Fd>(open_file(folder / "disk", O_RDONLY));
    co_return respond_file(asked, std::move(file), "application/octet-stream", pool());
  });
  const auto part = [&](std::string range, std::string condition = {}) {
    ClientRequest asked = request("GET", "/disk");
    asked.headers.add("Range", std::move(range));
    if (!condition.empty()) asked.headers.add("If-Range", std::move(condition));
    return fetch(asked);
  };
  const ClientResponse whole = fetch(request("GET", "/disk"));
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.headers.get("Accept-Ranges"), "bytes");
  EXPECT_TRUE(whole.body == content);

  const ClientResponse middle = part("bytes=1000000-2999998");
  EXPECT_EQ(middle.status, 206);
  EXPECT_EQ(middle.headers.get("Content-Range"), "bytes 1000000-2999998/3000000");
  EXPECT_TRUE(middle.body == content.substr(1'000'000, 1'999'999));
  EXPECT_EQ(part("bytes=-1").body, content.substr(2'999'999));

  const ClientResponse beyond = part("bytes=3000000-");
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.headers.get("Content-Range"), "bytes */3000000");

  const std::string tag(whole.headers.get("ETag"));
  EXPECT_EQ(part("bytes=0-0", tag).status, 206);
  EXPECT_EQ(part("bytes=0-0", "\"other\"").status, 200);

  RawClient client(port());
  client.send("HEAD /disk HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.receive_all(),
              AllOf(HasSubstr("Content-Length: 3000000\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(HttpServerTest, ServesAFileBeyondFourGigabytes) {
  const TemporaryFolder folder;
  const Fd sparse = open_file(folder / "disk", O_RDWR | O_CREAT);
  constexpr std::uint64_t kSize = 5ull << 30;
  ASSERT_EQ(::ftruncate(sparse.get(), kSize), 0);
  ASSERT_EQ(::pwrite(sparse.get(), "end", 3, kSize - 3), 3);
  serve("/disk", [&](Request& asked) -> Async<Response> {
    auto file = std::make_shared<Fd>(open_file(folder / "disk", O_RDONLY));
    co_return respond_file(asked, std::move(file), "application/octet-stream", pool());
  });
  ClientRequest asked = request("GET", "/disk");
  asked.headers.add("Range", "bytes=5368709115-");
  const ClientResponse response = fetch(asked);
  EXPECT_EQ(response.headers.get("Content-Range"), "bytes 5368709115-5368709119/5368709120");
  EXPECT_EQ(response.body, std::string("\0\0end", 5));
}

TEST_F(HttpServerTest, FailuresOfHandlersBecomeStatuses) {
  serve("/gone", [](Request&) -> Async<Response> {
    throw error(ErrorKind::not_found, "disk", "disk does not exist");
    co_return Response();
  });
  serve("/teapot", [](Request&) -> Async<Response> {
    throw HttpError(429, "later");
    co_return Response();
  });
  serve("/bug", [](Request&) -> Async<Response> {
    throw std::logic_error("a secret of ours");
    co_return Response();
  });
  EXPECT_EQ(fetch(request("GET", "/gone")).status, 404);
  EXPECT_EQ(get("/gone"), "disk does not exist\n");
  EXPECT_EQ(fetch(request("GET", "/teapot")).status, 429);
  EXPECT_EQ(fetch(request("GET", "/bug")).status, 500);
  EXPECT_THAT(get("/bug"), Not(HasSubstr("secret")));
}

TEST_F(HttpServerTest, AHandlersHeadersCannotEndTheirLine) {
  serve("/", [](Request&) -> Async<Response> {
    Response response = respond(200, "text/plain", "body");
    response.headers.add("X-Name", "a\r\nInjected: yes");
    response.headers.add("Content-Length", "1");
    co_return response;
  });
  const ClientResponse response = fetch(request("GET", "/"));
  EXPECT_FALSE(response.headers.contains("Injected"));
  EXPECT_EQ(response.body, "body");
}

TEST_F(HttpServerTest, ASlowHeaderIsRefused) {
  options().header_timeout = 20ms;
  serve("/", hello);
  EXPECT_THAT(answer_to("GET / HT"), StartsWith("HTTP/1.1 408"));
}

TEST_F(HttpServerTest, AStalledBodyIsRefused) {
  options().transfer_timeout = 20ms;
  serve("/", echo);
  serve("/stream", measure, {.stream_body = true});
  for (const char* path : {"/", "/stream"})
    EXPECT_THAT(answer_to(fmt::format(
                    "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", path)),
                StartsWith("HTTP/1.1 408"));
}

TEST_F(HttpServerTest, ABodyThatDripsIsRefused) {
  options().transfer_timeout = 200ms;
  options().min_bytes_per_second = 1 << 20;
  serve("/", echo);
  RawClient client(port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  // Each byte comes long before the stall is complained about: it is the rate that is too low.
  std::atomic<bool> refused = false;
  std::thread drip([&] {
    for (int i = 0; i < 1000 && !refused; ++i) {
      client.send("x");
      std::this_thread::sleep_for(10ms);
    }
  });
  while (server().statistics().bytes_sent == 0) std::this_thread::yield();
  refused = true;
  drip.join();
  EXPECT_THAT(client.receive_all(), StartsWith("HTTP/1.1 408"));
}

TEST_F(HttpServerTest, IdleAndSilentConnectionsAreClosed) {
  options().idle_timeout = 20ms;
  options().handshake_timeout = 20ms;
  serve("/", hello);
  EXPECT_EQ(answer_to(""), "");
  RawClient client(port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.receive_all(), EndsWith("hello"));

  // A client that never begins with TLS.
  const Fd silent(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  char byte;
  EXPECT_EQ(::recv(silent.get(), &byte, 1, 0), 0);
}

TEST_F(HttpServerTest, AClientThatDoesNotReadIsDropped) {
  options().transfer_timeout = 20ms;
  std::promise<void> destroyed;
  struct Endless : ByteSource {
    explicit Endless(std::promise<void>& gone) : gone_(gone) {}
    ~Endless() override { gone_.set_value(); }
    Async<std::size_t> read(std::span<char> buffer) override { co_return buffer.size(); }
    std::promise<void>& gone_;
  };
  serve("/", [&](Request&) -> Async<Response> {
    Response response;
    response.stream = std::make_shared<Endless>(destroyed);
    co_return response;
  });
  RawClient client(port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  destroyed.get_future().get();
}

// A handler that waits until it is cancelled.
struct LongPoll {
  std::promise<void> entered;
  std::promise<void> cancelled;

  Async<Response> wait() {
    entered.set_value();
    try {
      co_await sleep_for(1h);
    } catch (const boost::system::system_error&) {
      cancelled.set_value();
      throw;
    }
    co_return Response();
  }
};

TEST_F(HttpServerTest, CancelsTheHandlerOfAClientThatHasGone) {
  options().watch_after = 0ms;
  LongPoll dies, leaves;
  serve("/dies", [&](Request&) { return dies.wait(); });
  serve("/leaves", [&](Request&) { return leaves.wait(); });
  RawClient client(port());
  client.send("GET /dies HTTP/1.1\r\nHost: a\r\n\r\n");
  dies.entered.get_future().get();
  client.vanish();
  dies.cancelled.get_future().get();

  std::optional<RawClient> polite(std::in_place, port());
  polite->send("POST /leaves HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx");
  leaves.entered.get_future().get();
  polite.reset();
  leaves.cancelled.get_future().get();
}

TEST_F(HttpServerTest, CancelsAHandlerThatWorksElsewhere) {
  options().watch_after = 0ms;
  LongPoll poll;
  const asio::any_io_executor kernel = pool().get_executor();
  serve("/", [&, kernel](Request&) -> Async<Response> { return run_on(kernel, poll.wait()); });
  RawClient client(port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  poll.entered.get_future().get();
  client.vanish();
  poll.cancelled.get_future().get();
}

TEST_F(HttpServerTest, TakesTheNextRequestWhileTheFirstWaits) {
  options().watch_after = 0ms;
  std::promise<void> entered;
  Signal signal(pool().get_executor());
  serve("/wait", [&](Request&) -> Async<Response> {
    const auto wait = [](Signal& on, std::promise<void>& here) -> Async<void> {
      here.set_value();
      co_await on.wait();
    };
    co_await run_on(pool().get_executor(), wait(signal, entered));
    co_return respond(200, "text/plain", "waited");
  });
  serve("/", echo);
  RawClient client(port());
  client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  entered.get_future().get();
  // The connection is being watched; the next request must not be lost to the watcher.
  const std::string next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
  client.send(next);
  while (server().statistics().bytes_received < next.size()) std::this_thread::yield();
  asio::post(pool(), [&] { signal.notify(); });
  EXPECT_THAT(client.receive_response(), EndsWith("waited"));
  EXPECT_THAT(client.receive_response(), EndsWith("GET /next "));
}

TEST_F(HttpServerTest, StopLetsRequestsFinishAndCancelsWhoWaitsTooLong) {
  LongPoll poll;
  std::promise<void> slow_entered;
  serve("/poll", [&](Request&) { return poll.wait(); });
  serve("/slow", [&](Request&) -> Async<Response> {
    slow_entered.set_value();
    co_await sleep_for(10ms);
    co_return respond(200, "text/plain", "done");
  });
  RawClient idle(port()), slow(port()), waiting(port());
  slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  waiting.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
  slow_entered.get_future().get();
  poll.entered.get_future().get();
  stop(500ms);
  EXPECT_EQ(idle.receive_all(), "");
  EXPECT_THAT(slow.receive_all(), AllOf(HasSubstr("Connection: close"), EndsWith("done")));
  EXPECT_EQ(waiting.receive_all(), "");
  poll.cancelled.get_future().get();
}

TEST_F(HttpServerTest, RefusesMoreConnectionsThanItMayHave) {
  options().max_connections = 2;
  serve("/", hello);
  RawClient first(port()), second(port());
  first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(first.receive_response(), StartsWith("HTTP/1.1 200"));
  RawClient third(port());
  EXPECT_THAT(third.receive_all(), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(server().statistics().connections_refused, 1u);
}

TEST_F(HttpServerTest, SpeaksTls12AndNewerOnly) {
  serve("/", hello);
  EXPECT_FALSE(RawClient(port(), TLS1_1_VERSION).connected());
  EXPECT_FALSE(RawClient(port(), TLS1_VERSION).connected());
  EXPECT_EQ(RawClient(port(), TLS1_2_VERSION).tls_version(), "TLSv1.2");
  EXPECT_EQ(RawClient(port()).tls_version(), "TLSv1.3");
}

TEST_F(HttpServerTest, ResumesSessions) {
  serve("/", [](Request& asked) -> Async<Response> {
    co_return respond(200, "text/plain", asked.peer.address + " " + asked.peer.tls_version);
  });
  RawClient first(port());
  first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(first.receive_response(), EndsWith("127.0.0.1 TLSv1.3"));
  EXPECT_FALSE(first.resumed());
  RawClient second = first.resume();
  EXPECT_TRUE(second.resumed());
}

TEST_F(HttpServerTest, ANewCertificateIsShownToNewConnections) {
  serve("/", hello);
  const Certificate renewed =
      issue_certificate(test_authority(), {"127.0.0.1"}, std::chrono::days(3));
  const auto thumbprint = [&] {
    const auto ask = [](ClientOptions options) -> Async<std::string> {
      HttpClient client(co_await asio::this_coro::executor, std::move(options));
      ClientRequest asked;
      co_await client.send(asked);
      co_return client.server_thumbprint();
    };
    return run(ask(client_options()));
  };
  EXPECT_EQ(thumbprint(), inspect_certificate(test_certificate().certificate).sha256_thumbprint);
  server().use_certificate(renewed.certificate, renewed.key);
  EXPECT_EQ(thumbprint(), inspect_certificate(renewed.certificate).sha256_thumbprint);
}

TEST_F(HttpServerTest, AnAddressInUseIsNamed) {
  try {
    HttpServer other(io().get_executor(), options());
    other.listen("127.0.0.1", port());
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(fmt::format("127.0.0.1:{}", port())));
  }
}

}  // namespace
}  // namespace virga::wire

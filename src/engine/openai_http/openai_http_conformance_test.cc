#include "engine/conformance.h"
#include "engine/fake_openai_server.h"
#include "engine/openai_http/openai_http_engine.h"

namespace medley::engine {
namespace {

class OpenaiHttpSubject final : public Subject {
 public:
  OpenaiHttpSubject() : loop_(events_), server_(events_) {
    engine_ = std::make_unique<OpenaiHttpEngine>(loop_, *net::parse_http_url(server_.url()),
                                                 OpenaiHttpEngine::Options{.model = "m"});
  }
  Engine& engine() override { return *engine_; }
  // One turn of the loop: the fake server speaks on the same one.
  bool pump() override {
    int looks = 0;
    return events_.run_until([&looks] { return looks++ > 0; }, std::chrono::seconds(20));
  }
  void drain() override {
    bool turned = false;
    events_.post([&] { events_.post([&] { turned = true; }); });
    events_.run_until([&turned] { return turned; }, std::chrono::seconds(20));
  }
  void destroy_engine() override { engine_.reset(); }

 private:
  net::EventLoop events_;
  AsioLoop loop_;
  FakeOpenaiServer server_;
  std::unique_ptr<OpenaiHttpEngine> engine_;
};

INSTANTIATE_TEST_SUITE_P(OpenaiHttp, EngineConformance,
                         testing::Values(ConformanceCase{
                             .name = "openai_http",
                             .make =
                                 [](std::string&) { return std::make_unique<OpenaiHttpSubject>(); },
                         }),
                         name_of_case);

}  // namespace
}  // namespace medley::engine

// Makes the one mistake it is asked for: what the sanitizers of this build must find.
#include <cstdio>
#include <limits>
#include <memory>
#include <string_view>
#include <thread>

namespace {

int use_after_free(int value) {
  auto owner = std::make_unique<int>(value);
  const int* volatile late = owner.get();  // volatile: the compiler would see it, and warn
  owner.reset();
  return *late;
}

int signed_overflow(int value) { return std::numeric_limits<int>::max() - 1 + value; }

int data_race(int value) {
  std::thread one([&value] { ++value; });
  std::thread other([&value] { ++value; });
  one.join();
  other.join();
  return value;
}

}  // namespace

// The mistake's name is the one argument, so argc, which nobody knows while compiling, is 2.
int main(int argc, char** argv) {
  const std::string_view mistake = argc == 2 ? argv[1] : "";
  if (mistake == "use_after_free") {
    std::printf("%d\n", use_after_free(argc));
  } else if (mistake == "signed_overflow") {
    std::printf("%d\n", signed_overflow(argc));
  } else if (mistake == "data_race") {
    std::printf("%d\n", data_race(argc));
  } else {
    std::fputs("no such mistake\n", stderr);
    return 2;
  }
}

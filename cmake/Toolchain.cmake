# Compiler flags, sanitizers, ccache and mold: the same for every target, so that precompiled headers and
# sanitizer runtimes agree.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  message(FATAL_ERROR "Configure with a preset: cmake --preset dev (or release, asan, tsan)")
endif()

option(MEDLEY_PRECOMPILED_HEADERS "Share precompiled standard-library and GoogleTest headers" OFF)
option(MEDLEY_FUZZ "Build tests/fuzz with clang's libFuzzer" OFF)
set(MEDLEY_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

add_compile_options(-Wall -Wextra -Wpedantic -Werror
  # {.seed = s} leaves the other members to their defaults, on purpose.
  -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these about correct code inside its own <string>, <variant> and <optional> once it
  # inlines (GCC bugs 105329, 105562, 105651). Newer compilers and the sanitizers look after the real ones.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized -Wno-array-bounds
    -Wno-stringop-overflow -Wno-stringop-overread -Wno-free-nonheap-object)
endif()

if(MEDLEY_SANITIZE)
  add_compile_options(-fsanitize=${MEDLEY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${MEDLEY_SANITIZE})
  if(MEDLEY_SANITIZE MATCHES thread)
    # TSan does not model atomic_thread_fence, which Asio uses around handlers.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
    add_compile_options(-Wno-tsan)
  endif()
endif()

if(MEDLEY_FUZZ)
  # What the fuzzer steers by. clang warns of other things than g++, which judges the code.
  add_compile_options(-fsanitize=fuzzer-no-link -Wno-error)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

find_program(MEDLEY_CCACHE ccache)
if(MEDLEY_CCACHE)
  # The sloppiness is what ccache asks for with precompiled headers; the base folder lets two checkouts share.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${MEDLEY_CCACHE})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()

find_program(MEDLEY_MOLD mold)
if(MEDLEY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

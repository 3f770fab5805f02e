# Libraries that are not ours. tools/setup.sh installs them; their headers are SYSTEM, so that our warning
# flags do not judge them.

find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(fmt REQUIRED)
find_package(simdjson REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
include(GoogleTest)

# Asio and Beast, compiled once here and not in every file that sees them.
add_library(medley_asio STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/third_party/asio.cc)
target_compile_definitions(medley_asio PUBLIC
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(medley_asio PUBLIC Boost::headers Threads::Threads)
add_library(medley::asio ALIAS medley_asio)

# libllama as npm's prebuilt package, with the headers of the same release (tools/setup.sh).
set(llama ${CMAKE_SOURCE_DIR}/.deps/llama)
if(NOT EXISTS ${llama}/version.txt)
  message(FATAL_ERROR "llama.cpp is not in .deps/: run tools/setup.sh (make setup)")
endif()
add_library(llama::ggml_base SHARED IMPORTED)
set_target_properties(llama::ggml_base PROPERTIES IMPORTED_LOCATION ${llama}/lib/libggml-base.so)
add_library(llama::ggml SHARED IMPORTED)
set_target_properties(llama::ggml PROPERTIES IMPORTED_LOCATION ${llama}/lib/libggml.v0.5.0.so)
add_library(llama::llama SHARED IMPORTED)
set_target_properties(llama::llama PROPERTIES
  IMPORTED_LOCATION ${llama}/lib/libllama.v0.5.0.so
  INTERFACE_INCLUDE_DIRECTORIES ${llama}/include
  INTERFACE_COMPILE_DEFINITIONS MEDLEY_LLAMA_LIBRARY_DIR="${llama}/lib"
  INTERFACE_LINK_LIBRARIES "llama::ggml;llama::ggml_base")

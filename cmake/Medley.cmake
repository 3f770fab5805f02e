# The functions every folder is built with. What a folder may include, and so link, stands in layers.txt.

# Reads layers.txt: MEDLEY_FOLDERS in order, and MEDLEY_CLOSURE_<folder>, everything it may include.
function(medley_read_layers)
  set(layers ${CMAKE_SOURCE_DIR}/cmake/layers.txt)
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${layers})
  file(STRINGS ${layers} lines REGEX "^[a-z_]+:")
  set(folders "")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^([a-z_]+):(.*)$" _ "${line}")
    set(folder ${CMAKE_MATCH_1})
    separate_arguments(direct UNIX_COMMAND "${CMAKE_MATCH_2}")
    set(closure "")
    foreach(other IN LISTS direct)
      if(NOT other IN_LIST folders)
        message(FATAL_ERROR "cmake/layers.txt: '${folder}' names '${other}' before its own line")
      endif()
      list(APPEND closure ${other} ${closure_${other}})
    endforeach()
    list(REMOVE_DUPLICATES closure)
    list(APPEND folders ${folder})
    set(closure_${folder} "${closure}")
    set(MEDLEY_CLOSURE_${folder} "${closure}" PARENT_SCOPE)
  endforeach()
  set(MEDLEY_FOLDERS "${folders}" PARENT_SCOPE)
endfunction()

# medley_library(<folder> [PUBLIC target...] [PRIVATE target...])
#
# Builds src/<folder> as the static library `medley_<folder>` (alias medley::<folder>), header-only
# folders as an interface library, and links what layers.txt lets it include. PUBLIC and PRIVATE name
# third-party targets: PUBLIC where our headers show them. Its tests become `<folder>_test`, those named
# *_slow_test.cc `<folder>_slow_test`. A folder without code is skipped.
function(medley_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PUBLIC;PRIVATE")
  if(NOT folder IN_LIST MEDLEY_FOLDERS)
    message(FATAL_ERROR "src/${folder} has no line in cmake/layers.txt")
  endif()
  set(root ${CMAKE_SOURCE_DIR}/src)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${root}/${folder}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$|/src/cli/main\\.cc$")
  if(NOT sources)
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${root}/${folder}/*.h)
    if(NOT headers)
      return()
    endif()
  endif()

  set(library medley_${folder})
  set(visibility PUBLIC)
  if(sources)
    add_library(${library} STATIC ${sources})
    medley_use_precompiled_headers(${library} library)
  else()
    add_library(${library} INTERFACE)
    set(visibility INTERFACE)
  endif()
  add_library(medley::${folder} ALIAS ${library})
  target_include_directories(${library} ${visibility} ${root})
  foreach(other IN LISTS MEDLEY_CLOSURE_${folder})
    if(TARGET medley_${other})
      target_link_libraries(${library} ${visibility} medley_${other})
    endif()
  endforeach()
  target_link_libraries(${library} ${visibility} ${arg_PUBLIC})
  if(sources)
    target_link_libraries(${library} PRIVATE ${arg_PRIVATE})
  endif()

  medley_tests(${folder} SOURCES ${tests} LINK ${library} ${arg_PRIVATE} LABELS ${folder})
endfunction()

# medley_tests(<name> SOURCES file... LINK target... [LABELS label...])
#
# One GoogleTest program `<name>_test`; the files called *_slow_test.cc go into `<name>_slow_test`, whose
# tests carry the label `slow`, which `make check` leaves out. Tests run in the top folder, so that they
# can open catalog/ and scenarios/ by name.
function(medley_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;LABELS")
  set(sources_slow ${arg_SOURCES})
  list(FILTER sources_slow INCLUDE REGEX "_slow_test\\.cc$")
  set(sources_fast ${arg_SOURCES})
  list(FILTER sources_fast EXCLUDE REGEX "_slow_test\\.cc$")
  foreach(tier IN ITEMS fast slow)
    if(NOT sources_${tier})
      continue()
    endif()
    set(program ${name}_test)
    set(labels ${arg_LABELS})
    set(timeout 60)
    if(tier STREQUAL "slow")
      set(program ${name}_slow_test)
      list(APPEND labels slow)
      set(timeout 600)
    endif()
    if(MEDLEY_SANITIZE)
      math(EXPR timeout "${timeout} * 5")
    endif()
    add_executable(${program} ${sources_${tier}})
    target_link_libraries(${program} PRIVATE ${arg_LINK} GTest::gmock GTest::gtest_main)
    medley_use_precompiled_headers(${program} test)
    set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    gtest_discover_tests(${program}
      TEST_PREFIX ${name}.
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
      DISCOVERY_MODE PRE_TEST
      DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS "${labels}" TIMEOUT ${timeout})
  endforeach()
endfunction()

# medley_command_test(<name> [SLOW] [TIMEOUT seconds] COMMAND program arg...)
#
# A test that is a program of its own (Python, Node, shell). It finds the binary in $MEDLEY and runs in
# the top folder. Exit status 77 says that it was skipped, for want of something its output names.
function(medley_command_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SLOW" "TIMEOUT" "COMMAND;LABELS")
  add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set(labels ${arg_LABELS})
  if(arg_SLOW)
    list(APPEND labels slow)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(MEDLEY_SANITIZE)
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${labels}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77 ENVIRONMENT "MEDLEY=${CMAKE_BINARY_DIR}/medley")
endfunction()

# medley_must_not_compile(<name> <file>)
#
# Passes when the file does not compile but, with -DCONTROL, does: a mistake in the snippet itself (a
# header that moved, a typing error) fails the control and so the test.
function(medley_must_not_compile name file)
  medley_command_test(must_not_compile.${name} LABELS must_not_compile
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/must_not_compile.py
      ${file} -- ${CMAKE_CXX_COMPILER} -std=c++20 -I${CMAKE_SOURCE_DIR}/src)
endfunction()

# medley_benchmark(<name> <source>... LINK target... [ARGS arg...]): built with everything, run by `make
# bench` with these arguments, one after the other (the terminal admits one at a time).
function(medley_benchmark name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK;ARGS")
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  add_custom_target(run_${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} USES_TERMINAL)
  add_dependencies(bench run_${name})
endfunction()

# All of medley's libraries that have code, for what crosses folders.
function(medley_all_libraries out)
  set(all "")
  foreach(folder IN LISTS MEDLEY_FOLDERS)
    if(TARGET medley_${folder})
      list(APPEND all medley_${folder})
    endif()
  endforeach()
  set(${out} "${all}" PARENT_SCOPE)
endfunction()

# Each header set is compiled once (`library`: the standard library and fmt; `test`: GoogleTest too) and
# shared. Off in dev and under the sanitizers: there, a forgotten #include shows.
function(medley_use_precompiled_headers target kind)
  if(NOT MEDLEY_PRECOMPILED_HEADERS)
    return()
  endif()
  set(owner medley_precompiled_${kind})
  if(NOT TARGET ${owner})
    add_library(${owner} OBJECT ${CMAKE_SOURCE_DIR}/cmake/precompiled/empty.cc)
    target_link_libraries(${owner} PRIVATE fmt::fmt)
    if(kind STREQUAL "test")
      target_link_libraries(${owner} PRIVATE GTest::gmock)
    endif()
    target_precompile_headers(${owner} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled/${kind}.h)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()

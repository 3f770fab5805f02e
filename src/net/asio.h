// What net's sources share of Asio. Only for .cc files of this folder: it costs seconds to compile.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "net/event_loop.h"

// g++ 12 takes Asio's coroutine frames, which bring their own operator new and delete, for a
// mismatch of the two.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace medley::net {

namespace asio = boost::asio;
using boost::system::error_code;

// Concrete executor types: the type-erased any_io_executor costs on every operation.
using Executor = asio::io_context::executor_type;
template <typename T>
using Task = asio::awaitable<T, Executor>;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;
// Operations answer (error_code, value) and never throw.
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

struct EventLoop::Impl {
  asio::io_context io{1};
  asio::executor_work_guard<Executor> work{io.get_executor()};
  std::optional<asio::basic_signal_set<Executor>> signals;
};

}  // namespace medley::net

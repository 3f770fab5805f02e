#pragma once
#include <ggml-backend.h>
#include <llama.h>

#include <boost/asio/ip/tcp.hpp>  // violation: third-party

#include "engine/engine.h"
#include "engine/openai_http/http_engine.h"  // violation: factory

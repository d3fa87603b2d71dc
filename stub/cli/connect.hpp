// A stream socket to a monitor's --gdb address.
#pragma once

#include <string>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "arch/result.hpp"

namespace ringside::cli {

using Socket = boost::asio::generic::stream_protocol::socket;

// Blocks until it is connected; the error names the address.
Result<Socket> connect_to(boost::asio::io_context& io, const std::string& address);

}  // namespace ringside::cli

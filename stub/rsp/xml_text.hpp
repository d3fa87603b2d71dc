// Text inside an XML document: what the guest or a user named must not end an attribute.
#pragma once

#include <string>
#include <string_view>

namespace ringside::rsp {

// Appends `text` with & < > " ' as entities; control characters, which XML 1.0 has no form for, become `?`.
inline void append_xml_text(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? '?' : c;
    }
  }
}

}  // namespace ringside::rsp

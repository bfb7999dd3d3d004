//! The filter language and schemas over twins: parse, compile, evaluate. Pure; asking for twins
//! and answering is runtime/'s business.

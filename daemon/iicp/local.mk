# daemon/iicp

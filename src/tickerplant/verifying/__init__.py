"""`tickerplant verify`: what a recording holds, and where it is not complete."""

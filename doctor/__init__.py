"""The doctor: finds what is wrong between a clone and a mail, and says how to mend it. It changes nothing."""

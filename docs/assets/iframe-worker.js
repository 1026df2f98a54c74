/* A browser starts no worker for a page that was opened from a folder (file://), and the search of
   the site is one.  There, this class runs the script of a worker in a hidden frame instead. */
"use strict"

class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    this.onmessage = null
    this.frame = document.createElement("iframe")
    this.frame.hidden = true
    document.body.append(this.frame)
    const inside = this.frame.contentWindow
    inside.postMessage = (data) => {
      const event = new MessageEvent("message", { data })
      this.dispatchEvent(event)
      if (this.onmessage) this.onmessage(event)
    }
    this.ready = new Promise((resolve, reject) => {
      const script = inside.document.createElement("script")
      script.src = url
      script.onload = resolve
      script.onerror = reject
      inside.document.body.append(script)
    })
  }

  postMessage(data) {
    const inside = this.frame.contentWindow
    this.ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
  }

  terminate() {
    this.frame.remove()
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker
